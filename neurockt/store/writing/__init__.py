"""A run being written: its tables, its background thread, and the rows that wait for the disk."""
