"""What a caller of a device actor can meet."""

import asyncio

from qkd_controller.config.errors import QkdError


class DeviceNotReady(QkdError):
    """The device is not at its set-points, so nothing can be asked of it now."""


class ChangeKept(DeviceNotReady):
    """The device is not there yet: the change is kept, and driven to once it is ready.

    ``fate`` is what becomes of it: ``applied``, ``refused: …`` or ``dropped: …``.
    """

    def __init__(self, told: str, fate: asyncio.Future[str]) -> None:
        super().__init__(told)
        self.fate = fate
