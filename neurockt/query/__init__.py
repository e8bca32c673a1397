"""Questions about many runs: fields by name, filters, comparisons."""
