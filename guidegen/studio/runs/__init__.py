"""Runs on the wall: found, shown, starred, moved to the trash."""
