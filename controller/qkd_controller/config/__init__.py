"""Typed configuration, every error at once, and a digest of what both ends share."""
