"""CLIP as a tool for pictures of any origin: classify, score, search, embed, probe, caption."""
