"""Runs and tables opened for reading, while they may be written."""
