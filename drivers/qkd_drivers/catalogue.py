"""Which driver belongs to which model name of a configuration.

Our own models stand in ``OWN``. Other packages add theirs by an entry point of the group
``qkdlink.drivers`` that names a `Model`; a name of ours cannot be taken by them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from qkd_drivers.contract import Instrument
from qkd_drivers.framing import Trace

ENTRY_POINTS = "qkdlink.drivers"

Driver = Callable[[str, str, Trace | None], Instrument]
"""Of an address, a name and a trace."""


class CatalogueError(Exception):
    """A package that adds models, and cannot be used; until it is mended no model can."""


@dataclass(frozen=True)
class Model:
    """A device model that can be driven."""

    name: str
    """As configurations call it: maker and model in lower case, such as ``s15-tdc1``."""
    kind: str
    """That of its driver's contract, such as ``tagger``."""
    title: str
    wires: tuple[str, ...]
    """The schemes of its addresses: ``serial``, ``tcp``, ``visa``, …"""
    driver: str
    """``module:class``; imported when a device of the model is made."""
    host_addresses: tuple[str, ...] = ()
    """Where it listens in a network, such as ``tcp:{host}:5025``."""
    seats: tuple[str, ...] = ("",)
    """The options of an address that name each place where one may hang on a shared wire."""

    def load(self) -> Driver:
        """The driver's class; ValueError if it cannot be imported."""
        module, _, name = self.driver.partition(":")
        try:
            driver: Driver = getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ValueError(
                f"the driver of {self.name} cannot be loaded from {self.driver!r}: {error}"
            ) from error
        return driver


_HEXADECIMAL_SEATS = ("", *(f"bus={seat:X}" for seat in range(1, 16)))


def _own(
    name: str,
    kind: str,
    title: str,
    wires: str,
    driver: str,
    *host_addresses: str,
    seats: tuple[str, ...] = ("",),
) -> Model:
    module = f"qkd_drivers.models.{driver}"
    return Model(name, kind, title, tuple(wires.split()), module, host_addresses, seats)


OWN = (
    _own("s15-tdc1", "tagger", "S-Fifteen TDC1", "serial", "s15_tdc1:S15Tdc1"),
    *(
        _own(
            f"picoquant-{family.lower()}",
            "tagger",
            f"PicoQuant {family} {models}",
            "library",
            f"picoquant:Picoquant{family.capitalize()}",
        )
        for family, models in (("MultiHarp", "150, 160"), ("HydraHarp", "400"), ("TimeHarp", "260"))
    ),
    _own("replay", "tagger", "recordings of time tags, played", "file", "replay:Replay"),
    _own("s15-spd", "detector", "S-Fifteen SPD", "serial", "s15_spd:S15Spd"),
    _own("s15-spdc", "crystal_oven", "S-Fifteen SPDC driver, heater", "serial", "s15_spdc:S15Spdc"),
    _own(
        "s15-spdc-source",
        "pair_source",
        "S-Fifteen SPDC driver, source",
        "serial",
        "s15_spdc:S15SpdcSource",
    ),
    _own(
        "thorlabs-itc4000",
        "laser",
        "Thorlabs ITC4000 and CLD1015",
        "visa tcp",
        "thorlabs_itc4000:ThorlabsItc4000",
        "visa:TCPIP::{host}::hislip0::INSTR",
    ),
    _own(
        "keysight-33500",
        "pulse_generator",
        "Keysight 33500 and 33600",
        "tcp visa",
        "keysight_33500:Keysight33500",
        "tcp:{host}:5025",
    ),
    _own(
        "srs-ldc500",
        "laser",
        "SRS LDC500 to LDC502",
        "tcp serial visa",
        "srs_ldc500:SrsLdc500",
        "tcp:{host}:8888",
    ),
    _own(
        "oz-epc400",
        "polarisation_controller",
        "OZ Optics EPC-400",
        "serial",
        "oz_epc400:OzEpc400",
    ),
    _own("passive", "passive_detector", "a detector without a wire", "channel", "passive:Passive"),
    _own(
        "idq-id900",
        "tagger",
        "ID Quantique ID900 and ID1000",
        "zeromq",
        "idq_id900:IdqId900",
        "zeromq:{host}:5555",
    ),
    _own("idq-id120", "detector", "ID Quantique ID120", "visa serial", "idq_id120:IdqId120"),
    _own(
        "single-quantum-websq",
        "nanowire_detectors",
        "Single Quantum Eos behind WebSQ",
        "tcp",
        "single_quantum_websq:SingleQuantumWebsq",
        "tcp:{host}:12000",
    ),
    _own(
        "thorlabs-ell14",
        "rotator",
        "Thorlabs Elliptec ELL14 and ELL18",
        "serial",
        "thorlabs_ell14:ThorlabsEll14",
        seats=_HEXADECIMAL_SEATS,
    ),
    _own(
        "thorlabs-pm100d",
        "power_meter",
        "Thorlabs PM100D and relatives",
        "visa tcp",
        "thorlabs_pm100d:ThorlabsPm100d",
        "tcp:{host}:2000",
        "visa:TCPIP::{host}::hislip0::INSTR",
    ),
    _own(
        "thorlabs-k10cr1", "rotator", "Thorlabs K10CR1", "serial", "thorlabs_k10cr1:ThorlabsK10cr1"
    ),
    _own(
        "thorlabs-mpc320", "rotator", "Thorlabs MPC320", "serial", "thorlabs_mpc320:ThorlabsMpc320"
    ),
    _own("cobolt-06", "laser_head", "Cobolt 06-01", "serial", "cobolt_06:Cobolt06"),
    _own("oz-dd100", "attenuator", "OZ Optics DD-100-MC", "serial", "oz_dd100:OzDd100"),
    _own(
        "qc-9530",
        "pulse_generator",
        "Quantum Composers 9530",
        "serial tcp",
        "qc_9530:Qc9530",
        "tcp:{host}:2101",
    ),
    _own("srs-fs725", "frequency_reference", "SRS FS725 and PRS10", "serial", "srs_fs725:SrsFs725"),
    _own("jdsu-ha9", "attenuator", "JDSU HA9", "serial visa tcp", "jdsu_ha9:JdsuHa9"),
    _own("coherent-obis", "laser_head", "Coherent OBIS", "serial", "coherent_obis:CoherentObis"),
    _own("qubitekk-qes", "pair_source", "Qubitekk QES 2.4", "serial", "qubitekk_qes:QubitekkQes"),
)


@cache
def models() -> dict[str, Model]:
    """Every model that can be driven here, by name.

    CatalogueError names an entry point that is no `Model` or takes a name that is taken.
    """
    found = {model.name: model for model in OWN}
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            model = entry.load()
        except Exception as error:
            raise CatalogueError(f"entry point {entry.name} ({entry.value}): {error}") from error
        if not isinstance(model, Model):
            raise CatalogueError(f"entry point {entry.name} ({entry.value}) is no Model")
        if model.name in found:
            raise CatalogueError(f"entry point {entry.name}: there is a model {model.name} already")
        found[model.name] = model
    return found


def find_model(name: str) -> Model:
    """The model of a name; ValueError lists those that are known."""
    known = models()
    if name not in known:
        raise ValueError(f"unknown device model {name!r}: known are {', '.join(sorted(known))}")
    return known[name]


def make_device(model: str, address: str, name: str, trace: Trace | None = None) -> Instrument:
    """The driver of a model, not yet connected; ValueError for an unknown model or bad address."""
    return find_model(model).load()(address, name, trace)


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
