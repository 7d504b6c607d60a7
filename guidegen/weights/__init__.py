"""The store of checkpoints: what is published, pulling it, converting it, checking it."""
