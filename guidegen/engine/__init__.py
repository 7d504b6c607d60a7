"""The composition root: settings in, models and loop built from them, finished pictures out."""
