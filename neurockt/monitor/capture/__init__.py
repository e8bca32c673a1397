"""Collects the values of a block and reduces them to one number per column."""
