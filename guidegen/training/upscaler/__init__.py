"""The embedded upscaler: read from the package it comes in."""
