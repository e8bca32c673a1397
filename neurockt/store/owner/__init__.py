"""Which process writes a run, whether it is alive, and which process may take over a dead run."""
