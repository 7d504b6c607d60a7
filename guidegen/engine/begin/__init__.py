"""Where a run begins: drawn and ranked, a picture, another run, another generator, a mask."""
