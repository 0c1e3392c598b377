"""Typed configuration: units in the names, every error at once, a digest of what both ends share."""
