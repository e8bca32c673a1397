"""Which process owns a run, whether it still lives, and who may take over a dead one's."""
