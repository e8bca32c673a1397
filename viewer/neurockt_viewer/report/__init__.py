"""A report of runs: one HTML file with their table, configs and charts, which needs nothing but a browser."""
