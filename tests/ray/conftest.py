"""One way of authentication for all tests here: a process of Ray keeps to the first that it saw."""

import os

os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", "0" * 64)
