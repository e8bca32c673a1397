"""Jobs of several ranks: which rank records, and what the ranks exchange when a block ends."""
