"""The journal of a table: its records, its file, and its repair after a fault of the disk."""
