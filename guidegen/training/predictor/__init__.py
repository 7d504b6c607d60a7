"""Training of predictors: from a text to the latents that a run starts from."""
