"""What a caller of a device actor can meet."""

from qkd_controller.config.errors import QkdError


class DeviceNotReady(QkdError):
    """The device is not at its set-points, so nothing can be asked of it now."""
