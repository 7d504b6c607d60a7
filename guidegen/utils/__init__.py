"""Files, locks, signals, versions and fail-points: what every folder may use."""
