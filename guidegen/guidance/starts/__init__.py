"""Where a run starts: the best of several, a mixture of them, or what evolved from one."""
