"""The models that ship: a small CLIP and the collage's patches, with their cards."""
