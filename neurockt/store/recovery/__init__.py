"""What happens to the run of a dead process: it is sealed, or continued."""
