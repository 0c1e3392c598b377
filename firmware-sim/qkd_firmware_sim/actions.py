"""What can be done to a running lab, by its scenario or over the control socket."""

from typing import Annotated

import msgspec
from msgspec import Meta

from qkd_firmware_sim.frontends import faults
from qkd_firmware_sim.table import EndName, Ppm, Rotation, Share


class _Action(msgspec.Struct, frozen=True, tag_field="do", forbid_unknown_fields=True):
    pass


class Attack(_Action, frozen=True, tag="attack"):
    """an eavesdropper on Bob's fibre intercepts and resends this fraction of the photons"""

    fraction: Share


class FibreCut(_Action, frozen=True, tag="fibre_cut"):
    """no light reaches this end any more"""

    end: EndName = "bob"


class FibreRestore(_Action, frozen=True, tag="fibre_restore"):
    """the fibre is spliced and the added loss is gone"""

    end: EndName = "bob"


class Loss(_Action, frozen=True, tag="loss"):
    """adds loss_db to this end's arm"""

    loss_db: Annotated[float, Meta(ge=-1000, le=1000)]
    end: EndName = "bob"


class Kick(_Action, frozen=True, tag="kick"):
    """rotates the fibre's polarisation by this vector (Stokes space, rad)"""

    rotation_rad: tuple[Rotation, Rotation, Rotation] = (0.3, 0.3, 0.3)


class ClockStep(_Action, frozen=True, tag="clock_step"):
    """this end's tagger clock jumps by step_ns and runs error_ppm faster"""

    end: EndName
    step_ns: Annotated[float, Meta(ge=-1e12, le=1e12)] = 0.0
    error_ppm: Ppm = 0.0


class Overflow(_Action, frozen=True, tag="overflow"):
    """the tagger loses what its FIFO holds and sets its status bit"""

    device: str


class Interlock(_Action, frozen=True, tag="interlock"):
    """opens or closes the laser controller's interlock"""

    device: str
    open: bool = True


class KeyLock(_Action, frozen=True, tag="key_lock"):
    """turns the laser controller's key switch"""

    device: str
    locked: bool = True


class Latch(_Action, frozen=True, tag="latch"):
    """the detector stays latched and blind, or recovers"""

    device: str
    latched: bool = True


class Warm(_Action, frozen=True, tag="warm"):
    """a temperature excursion of the device's regulated part"""

    device: str
    kelvin: Annotated[float, Meta(ge=-1000, le=1000)]


class Stall(_Action, frozen=True, tag="stall"):
    """the device's temperature stays as it is, whatever is set, or moves again"""

    device: str
    stalled: bool = True


class Slow(_Action, frozen=True, tag="slow"):
    """the device's motors move this many times slower; 1 is as they should"""

    device: str
    factor: Annotated[float, Meta(gt=0, le=1e6)]


class Swap(_Action, frozen=True, tag="swap"):
    """another instrument stands there: it says that it is `identity`; "" is the right one again"""

    device: str
    identity: Annotated[str, Meta(max_length=256)] = ""


class Firmware(_Action, frozen=True, tag="firmware"):
    """another revision of the firmware is in it and speaks otherwise; "" is the usual one"""

    device: str
    revision: Annotated[str, Meta(max_length=64)] = ""


class PowerCycle(_Action, frozen=True, tag="power_cycle"):
    """the instrument restarts with its stored settings"""

    device: str


class Reset(_Action, frozen=True, tag="reset"):
    """the instrument restarts and has lost its stored settings"""

    device: str


class WireFault(_Action, frozen=True, tag="wire"):
    """a fault on the device's wires: see the list below"""

    device: str
    fault: str
    size: Annotated[int, Meta(ge=0, le=1 << 20)] = 2
    delay_s: Annotated[float, Meta(ge=0, le=1e6)] = 1.0
    text: Annotated[str, Meta(max_length=4096)] = ""


class Status(_Action, frozen=True, tag="status"):
    """changes nothing; the answer tells the state of the table"""


Action = (
    Attack
    | FibreCut
    | FibreRestore
    | Loss
    | Kick
    | ClockStep
    | Overflow
    | Interlock
    | KeyLock
    | Latch
    | Warm
    | Stall
    | Slow
    | Swap
    | Firmware
    | PowerCycle
    | Reset
    | WireFault
    | Status
)

ACTIONS: dict[str, type[_Action]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        Attack,
        FibreCut,
        FibreRestore,
        Loss,
        Kick,
        ClockStep,
        Overflow,
        Interlock,
        KeyLock,
        Latch,
        Warm,
        Stall,
        Slow,
        Swap,
        Firmware,
        PowerCycle,
        Reset,
        WireFault,
        Status,
    )
}


def help_text() -> str:
    """One line an action and one a fault of a wire, for help pages."""
    lines = ["actions ([[at]] tables of a lab file, or JSON on the control socket):"]
    for tag, kind in ACTIONS.items():
        fields = ", ".join(kind.__struct_fields__)
        lines.append(f"  {tag:14} {kind.__doc__}" + (f" ({fields})" if fields else ""))
    lines.append('faults of a wire, such as {"do": "wire", "device": "epc", "fault": "cut"}:')
    return "\n".join(lines + faults.table())
