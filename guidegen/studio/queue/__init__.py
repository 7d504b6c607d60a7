"""The queue: what is to be drawn, and what draws it, a step of each in turn."""
