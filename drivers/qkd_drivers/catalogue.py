"""Which driver belongs to which model name of a configuration."""

from typing import Protocol

from qkd_drivers.contract import Instrument
from qkd_drivers.framing import Trace
from qkd_drivers.oz_epc400 import OzEpc400
from qkd_drivers.s15_spd import S15Spd
from qkd_drivers.s15_spdc import S15Spdc
from qkd_drivers.s15_tdc1 import S15Tdc1
from qkd_drivers.thorlabs_itc4000 import ThorlabsItc4000


class _Driver(Protocol):
    def __call__(self, address: str, name: str, trace: Trace | None = None) -> Instrument: ...


MODELS: dict[str, _Driver] = {
    "s15-tdc1": S15Tdc1,
    "s15-spd": S15Spd,
    "s15-spdc": S15Spdc,
    "thorlabs-itc4000": ThorlabsItc4000,
    "oz-epc400": OzEpc400,
}


def make_device(model: str, address: str, name: str, trace: Trace | None = None) -> Instrument:
    """The driver of a model, not yet connected; ValueError for an unknown model or bad address."""
    driver = MODELS.get(model)
    if driver is None:
        raise ValueError(f"unknown device model {model!r}: known are {', '.join(sorted(MODELS))}")
    return driver(address, name, trace)


async def open_device(
    model: str, address: str, name: str, trace: Trace | None = None
) -> Instrument:
    """A connected device; DeviceError as its ``connect`` raises it."""
    device = make_device(model, address, name, trace)
    try:
        await device.connect()
    except BaseException:
        await device.close()
        raise
    return device
