"""Seal or continue the run of a dead process."""
