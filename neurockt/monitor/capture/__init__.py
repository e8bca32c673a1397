"""From a decorated call to one number per column: what a block collects."""
