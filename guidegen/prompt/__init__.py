"""The language of prompts: its grammar, the phrases of a sentence, image and noise references."""
