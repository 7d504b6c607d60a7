"""What `tests/benchmarks/versus.py` compares: each contender builds one step as a function."""
