"""What can go wrong with an instrument; every message says which one, what was asked, what came."""

from typing import Self


class DeviceError(Exception):
    """The root of the driver errors. ``partial`` holds bytes that arrived before the fault."""

    def __init__(self, message: str, *, partial: bytes = b"") -> None:
        super().__init__(message)
        self.partial = partial

    def about(self, device: str, asked: str) -> Self:
        """The same error, told with the device and the request that met it."""
        return type(self)(f"{device}: {asked}: {self}", partial=self.partial)


class DeviceNotFound(DeviceError):
    """There is nothing at the address: no such port, host or name."""


class DeviceBusy(DeviceError):
    """The address exists but another program holds it."""


class DeviceRefused(DeviceError):
    """The device, or the machine in front of it, declined the request."""


class DeviceLost(DeviceError):
    """The wire was there and is gone: unplugged, closed by the peer, reset."""


class DeviceTimeout(DeviceError):
    """No complete reply before the deadline; the wire is resynchronised before its next use."""


class DeviceProtocolError(DeviceError):
    """A reply that the protocol does not allow."""


class DeviceMismatch(DeviceError):
    """The instrument at the address is not the one that was configured."""


class DeviceTripped(DeviceError):
    """A protection of the device has acted (interlock, over-temperature, …)."""
