"""The models that ship, a folder each, with their cards."""
