"""Adapters to the frameworks that people train with, one file each: the framework's logger, over a Recorder."""
