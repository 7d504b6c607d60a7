"""The command line; one file a command. Only this package talks to people."""
