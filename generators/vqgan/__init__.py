"""VQGAN: a grid of codes, decoded."""
