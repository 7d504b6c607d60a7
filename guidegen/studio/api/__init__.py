"""What the page asks the server for, a file for each of its parts."""
