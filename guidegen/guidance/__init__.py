"""What is minimised and how: targets, objective, the loop, search for a start, averaging."""
