"""Lists of prompts: readers, running them here or on Ray, results and gallery."""
