"""The life of a run: where it is written, what ends it, and what survives forks, signals and faults."""
