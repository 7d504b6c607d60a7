"""Run directories: what a run was told, what it did, and the states to resume from."""
