"""What a driver says of each fault of a wire, on each transport that can show it.

The table of what is wanted stands in docs/faults.md and is read from there.
"""

import asyncio
import fcntl
import gc
import sys
import termios
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import bench as lab
import pytest
from bench import Bench, eventually

from qkd_drivers.catalogue import open_device
from qkd_drivers.contract import LaserDriver, NanowireDetectors, SinglePhotonDetector
from qkd_drivers.errors import (
    DeviceBusy,
    DeviceError,
    DeviceLost,
    DeviceNotFound,
    DeviceProtocolError,
    DeviceRefused,
    DeviceTimeout,
)
from qkd_drivers.framing import DataLinkWire, Wire
from qkd_drivers.models import single_quantum_websq
from qkd_drivers.models.idq_id900_run import free_port
from qkd_drivers.transports import make_transport, split_options
from qkd_drivers.transports.base import BufferedTransport
from qkd_drivers.transports.zeromq import ZeromqTransport
from qkd_firmware_sim.cores.websq import WebSq
from qkd_firmware_sim.frontends.faults import FAULTS

BOUND_S = 10.0
"""For one question, however the wire fails."""

COUNTS = "websq-counts"

Questions = dict[float, Callable[[], Awaitable[float]]]
"""By the only right answer."""


async def detector(address: str) -> tuple[Any, Questions]:
    device = await open_device("s15-spd", address, "it")
    assert isinstance(device, SinglePhotonDetector)
    await device.set_bias_voltage_v(123.0)
    await device.set_threshold_v(0.25)
    await device.set_temperature_c(-17.0)
    return device, {
        123.0: device.bias_voltage_v,
        0.25: device.threshold_v,
        -17.0: device.temperature_set_point_c,
    }


async def laser(address: str) -> tuple[Any, Questions]:
    device = await open_device("thorlabs-itc4000", address, "it")
    assert isinstance(device, LaserDriver)
    await device.set_current_limit_a(0.0875)
    await device.set_current_a(0.0625)
    await device.set_temperature_c(27.5)
    return device, {
        0.0875: device.current_limit_a,
        0.0625: device.current_set_point_a,
        27.5: device.temperature_set_point_c,
    }


async def time_controller(address: str) -> tuple[Any, Questions]:
    device: Any = await open_device("idq-id900", address, "it")
    thresholds_v = {1: -0.25, 2: 0.5, 3: -0.75, 4: 1.25}
    for channel, threshold_v in thresholds_v.items():
        await device._wire.set(f"INPU{channel}:THRE", threshold_v)

    def threshold(channel: int) -> Callable[[], Awaitable[float]]:
        async def ask() -> float:
            return float((await device.readings())[f"threshold_{channel}_v"].value)

        return ask

    return device, {volts: threshold(channel) for channel, volts in thresholds_v.items()}


class Service:
    """The service beside a time controller, as if it were a device of its own."""

    def __init__(self, address: str) -> None:
        self._wire = DataLinkWire(make_transport(address), "it")
        self.connect = self._wire.open
        self.close = self._wire.close

    async def tags(self, name: str) -> float:
        return float((await self._wire.ask(f"status --id {name}"))["timestamps_count"])


def id900_with_streams() -> Any:
    """Of two channels, from which five and seven tags have come."""
    core = lab.id900()
    for channel, tags in ((1, 5), (2, 7)):
        core.link.execute(
            f"start-stream --address box --channel {channel} --stream-port {free_port()}"
        )
        core.link.deliver(channel, bytes(8 * tags))
    return core


async def service(address: str) -> tuple[Any, Questions]:
    _, options = split_options(address, "service")
    device = Service(f"zeromq:{options['service']}")
    await device.connect()
    await device.tags("box:5556")  # a fresh wire asks who is there first
    return device, {5.0: lambda: device.tags("box:5556"), 7.0: lambda: device.tags("box:5557")}


async def nanowires(address: str) -> tuple[Any, Questions]:
    device = await open_device("single-quantum-websq", address, "it")
    assert isinstance(device, NanowireDetectors)
    await device.set_bias_currents_a((16e-6, 17e-6, 18e-6, 19e-6))
    await device.set_triggers_v((0.25,) * 4)

    async def bias_current_a() -> float:
        return round((await device.bias_currents_a())[0], 9)

    async def trigger_v() -> float:
        return (await device.triggers_v())[0]

    return device, {16e-6: bias_current_a, 0.25: trigger_v}


class Counting(WebSq):
    """Counts the same in each period, however long it took, and may hold that back."""

    holds = False
    _told_ps = 0

    def advance(self, now_ps: int) -> None:
        self.now_ps = now_ps
        if not self.holds and now_ps - self._told_ps >= 10**11:
            self._told_ps = now_ps
            self.tell()

    def tell(self) -> None:
        """A line for each client that listens."""
        for session in list(self._counts):
            session.emit("1700000000.5,25.0,25.0,25.0,25.0\n")

    @property
    def heard(self) -> bool:
        """Whether a client listens."""
        return any(session.on_output.__name__ == "_pump" for session in self._counts)


async def counts(address: str) -> tuple[Any, Questions]:
    """The control port, which is another column's, tells always the same."""
    device: Any = await open_device("single-quantum-websq", address, "it")
    labels = await device._wire.labels("NumberOfDetectors", "InptMeasurementPeriod")

    async def told(*names: str) -> dict[str, Any]:
        return {"BiasCurrent": None, "TriggerLevel": None} | labels

    async def rate_hz() -> float:
        return float((await device.count_rates_hz())[3])

    device._wire.labels = told
    return device, {250.0: rate_hz}


def visa_serial(address: str) -> str:
    return f"visa:ASRL{address.removeprefix('serial:')}::INSTR"


def visa_socket(address: str) -> str:
    _, host, port = address.split(":")
    return f"visa:TCPIP::{host}::{port}::SOCKET"


def as_it_is(address: str) -> str:
    return address


TRANSPORTS: dict[str, tuple[str, Any, Any, Callable[[str], str]]] = {
    "serial": ("pty", lab.spd, detector, as_it_is),
    "tcp": ("tcp", lab.itc, laser, as_it_is),
    "visa-socket": ("tcp", lab.itc, laser, visa_socket),
    "visa-hislip": ("hislip", lab.itc, laser, as_it_is),
    "visa-serial": ("pty", lab.spd, detector, visa_serial),
    "zeromq": ("zmtp", lab.id900, time_controller, as_it_is),
    "zeromq-service": ("zmtp", id900_with_streams, service, as_it_is),
    "websq": ("two-tcp", partial(lab.simulated, "single-quantum-websq"), nanowires, as_it_is),
    COUNTS: ("two-tcp", Counting, counts, as_it_is),
}

OPTIONS: dict[str, dict[str, Any]] = {
    "delay": {"delay_s": 0.5},
    "idle": {"delay_s": 0.3},
    "glue": {"delay_s": 0.03},
    "split": {"size": 2, "delay_s": 0.005},
    "unsolicited": {"text": "42.0"},
    "complain": {"text": "overheated"},
    "terminator": {"text": ";"},
}
LONG_ANSWERS: dict[tuple[str, str], dict[str, Any]] = {
    ("split", transport): {"size": 40, "delay_s": 0.002}
    for transport in ("zeromq-service", "websq")
}
WORDS: dict[type[DeviceError], str] = {
    DeviceBusy: "busy",
    DeviceLost: "lost",
    DeviceNotFound: "not found",
    DeviceProtocolError: "protocol error",
    DeviceRefused: "refused",
    DeviceTimeout: "timeout",
}
CANNOT_SHOW = "–"


def documented() -> dict[tuple[str, str], str]:
    """What the driver shall say, by fault and transport."""
    text = (Path(__file__).parents[3] / "docs/faults.md").read_text(encoding="utf-8")
    found: dict[tuple[str, str], str] = {}
    head: list[str] = []
    for line in text.splitlines():
        row = [cell.strip() for cell in line.split("|")[1:-1]]
        if row and row[0] == "Fault":
            head = row[1:]
        elif row and (fault := row[0].strip("`")) in FAULTS:
            found.update({(fault, t): told for t, told in zip(head, row[1:], strict=True)})
    return found


WANTED = documented()


def test_the_documentation_tells_of_every_fault_and_every_transport() -> None:
    """A row a fault, a column a transport, and a cell is empty where the wire cannot show it."""
    assert WANTED.keys() == {(f, t) for f in FAULTS.keys() - {"restore"} for t in TRANSPORTS}
    for (fault, transport), wanted in WANTED.items():
        assert (wanted == CANNOT_SHOW) == (TRANSPORTS[transport][0] not in FAULTS[fault].fronts)


def shown_on(*transports: str) -> Any:
    """A test of every fault that these can show."""
    cases = [c for c, wanted in WANTED.items() if wanted != CANNOT_SHOW and c[1] in transports]
    return pytest.mark.parametrize(("fault", "transport"), cases)


@shown_on(*(TRANSPORTS.keys() - {COUNTS}))
async def test_a_fault_is_told_in_bounded_time_and_no_answer_is_anothers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fault: str, transport: str
) -> None:
    """Each question has one right answer; the driver gives it or says what is wrong."""
    front, make, prepare, renamed = TRANSPORTS[transport]
    address, wire = await bench.plug(make(), front=front)
    device, questions = await prepare(renamed(address))
    impatient(monkeypatch, fault, transport)
    options = OPTIONS.get(fault, {}) | LONG_ANSWERS.get((fault, transport), {})
    await wire.apply(fault, **options)
    if fault == "refuse":
        await wire.apply("hang_up")  # what is open stays open; only the next connection is refused
    if fault == "unsolicited":
        await arrival(device, options["text"])
    told: list[str] = []
    for right in list(questions)[:2]:
        if fault == "idle":
            await asyncio.sleep(2 * options["delay_s"])  # the silence that this fault is about
        word = await outcome(questions[right], right, others=questions.keys() - {right})
        told.append(word)
        if word in ("lost", "not found", "refused", "busy"):
            await wire.settle()
            await device.close()
            told.append(await outcome(device.connect, None))
    assert as_documented(told, fault, transport)

    await wire.apply("restore")
    await until_whole(device, questions)
    await device.close()
    gc.collect()  # what was left open is told here, in the test that left it


@shown_on(COUNTS)
async def test_a_fault_that_befalls_the_counts_is_told_and_over_when_it_ends(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fault: str, transport: str
) -> None:
    """It comes while the rates are waited for, on a connection of which nothing else is asked."""
    front, make, prepare, _ = TRANSPORTS[transport]
    core = make()
    address, wire = await bench.plug(core, front=front)
    device, questions = await prepare(address)
    impatient(monkeypatch, fault, transport)
    options = OPTIONS.get(fault, {}) | LONG_ANSWERS.get((fault, transport), {})
    if fault == "refuse":  # what is open stays open
        await wire.apply(fault)
    core.holds = True
    ((right, ask),) = questions.items()
    asking = asyncio.create_task(outcome(ask, right))
    if fault != "refuse":
        await eventually(lambda: core.heard)
        await wire.apply(fault, **options)
    while not asking.done():
        if fault != "idle":  # it is about a box that says nothing
            core.tell()
        await asyncio.sleep(0.02)
    told = [asking.result()]
    if told != ["right"]:
        await wire.settle()
        await device.close()
        told.append(await outcome(device.connect, None))
    assert as_documented(told, fault, transport)

    await wire.apply("restore")
    core.holds = False
    await until_whole(device, questions)
    await device.close()


def impatient(monkeypatch: pytest.MonkeyPatch, fault: str, transport: str) -> None:
    """Whoever waits in vain shall not wait long; who waits for an answer may be held up."""
    in_vain = "timeout" in WANTED[fault, transport]
    monkeypatch.setattr(Wire, "reply_timeout_s", 0.2 if in_vain else 5.0)
    monkeypatch.setattr(single_quantum_websq, "_COUNTS_MARGIN_S", 0.2 if in_vain else 5.0)


async def arrival(device: Any, text: str) -> None:
    """Returns once a text and its end wait where the driver reads, if they ever do."""
    transport = device._wire.transport
    if isinstance(transport, ZeromqTransport):
        return None  # a REP socket says nothing unasked
    if isinstance(transport, BufferedTransport):
        return await lab.arrival(device, f"{text}\r\n".encode())
    session = transport._session
    waits = session.visalib.sessions[session.session].interface

    def waiting() -> int:
        return int.from_bytes(fcntl.ioctl(waits, termios.FIONREAD, bytes(4)), sys.byteorder)

    return await eventually(lambda: waiting() >= len(text) + 2)


def as_documented(told: list[str], fault: str, transport: str) -> bool:
    """Whether what was told is in the table, each word once and nothing of what was right."""
    wanted = WANTED[fault, transport]
    seen = ", ".join(w for w in dict.fromkeys(told) if w != "right") or "right"
    assert seen == wanted
    return True


async def until_whole(device: Any, questions: Questions) -> None:
    """Connects until every question is answered rightly, in bounded time."""
    async with asyncio.timeout(BOUND_S):
        while not all([await outcome(a, right) == "right" for right, a in questions.items()]):
            await device.close()
            await outcome(device.connect, None)


async def outcome(
    ask: Callable[[], Awaitable[Any]], right: float | None, others: Any = frozenset()
) -> str:
    """What comes of asking, in the words of the documentation."""
    try:
        async with asyncio.timeout(BOUND_S):
            answer = await ask()
    except DeviceError as error:
        assert str(error).startswith("it: "), "an error names its device"
        return WORDS[type(error)]
    assert answer not in others, f"{answer} is the answer to another question"
    return "right" if answer == right else "wrong value"
