"""Async drivers for the instruments of a QKD link."""
