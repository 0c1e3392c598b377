"""Metrics, events and logs. No key material, ever."""
