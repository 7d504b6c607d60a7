"""Collage: cut-out drawings, laid, scaled, turned and dyed."""
