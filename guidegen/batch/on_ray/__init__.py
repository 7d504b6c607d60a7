"""Lists on a Ray cluster: finding it, its workers, and what they draw."""
