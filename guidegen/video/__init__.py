"""Videos of finished runs: of one run's way, of several side by side, and from run to run."""
