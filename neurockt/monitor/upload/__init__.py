"""The process that uploads a run while it is recorded, and what ``wandb.init`` would be given."""
