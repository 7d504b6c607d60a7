"""How the embedded models were made, usable on a user's own captioned images.

Importing this package loads no torch; each module states what it needs.
Run `python -m guidegen.training --help` for the commands.
"""
