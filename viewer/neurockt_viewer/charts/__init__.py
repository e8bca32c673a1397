"""Charts as plain functions: series in, rows of text out. Nothing here knows of widgets, threads or files."""
