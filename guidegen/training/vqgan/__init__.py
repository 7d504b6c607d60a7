"""Training of the embedded VQGAN."""
