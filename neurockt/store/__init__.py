"""The run directory on disk: FORMAT.md says what the bytes mean."""
