"""Captioned pictures for training: their sources, rasterising, captions, scenes."""
