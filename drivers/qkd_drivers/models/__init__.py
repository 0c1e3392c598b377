"""One module a device model."""
