"""Perceptors: CLIP through open_clip, weighted ensembles, towers made fast, encoded texts."""
