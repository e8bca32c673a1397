"""The elements of a run directory: names of files, values as JSON, and ``run.json``."""
