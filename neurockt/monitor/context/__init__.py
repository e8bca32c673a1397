"""The environment of a run: its commit, command, machine and GPUs."""
