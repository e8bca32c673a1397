"""The viewer's own widgets, one a file."""
