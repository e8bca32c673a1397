"""Write a run: its tables, its background thread, and the rows that wait for the disk."""
