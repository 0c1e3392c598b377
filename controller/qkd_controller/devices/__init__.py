"""One supervised actor a device: connect, apply set-points, read back, reconnect, interlock."""
