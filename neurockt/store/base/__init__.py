"""What a run directory consists of: names of files, values as JSON, and ``run.json`` itself."""
