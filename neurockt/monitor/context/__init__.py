"""What surrounds a run: the commit, the command, the machine and its GPUs."""
