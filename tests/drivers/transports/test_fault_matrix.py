"""What a driver says of each fault of a wire, on each transport that can show it.

The table of what is wanted stands in docs/faults.md and is read from there.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import bench as lab
import pytest
from bench import Bench

from qkd_drivers.catalogue import open_device
from qkd_drivers.contract import LaserDriver, SinglePhotonDetector
from qkd_drivers.errors import (
    DeviceBusy,
    DeviceError,
    DeviceLost,
    DeviceNotFound,
    DeviceProtocolError,
    DeviceRefused,
    DeviceTimeout,
)
from qkd_drivers.framing import Wire
from qkd_firmware_sim.frontends.faults import FAULTS

BOUND_S = 10.0
"""For one question, however the wire fails."""

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
}

# The library may see the connection drop only when it asks again.
RACES = {("slam", "visa-socket"): "timeout, lost"}

OPTIONS: dict[str, dict[str, Any]] = {
    "delay": {"delay_s": 0.5},
    "idle": {"delay_s": 0.01},
    "glue": {"delay_s": 0.03},
    "split": {"size": 2, "delay_s": 0.005},
    "unsolicited": {"text": "42.0"},
    "complain": {"text": "overheated"},
    "terminator": {"text": ";"},
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
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    head = next(row for row in rows if row and row[0] == "Fault")
    found = {}
    for row in rows:
        if row and (fault := row[0].strip("`")) in FAULTS and len(row) == len(head):
            found.update({(fault, transport): row[i] for i, transport in enumerate(head) if i})
    return found


WANTED = documented()


def test_the_documentation_tells_of_every_fault_and_every_transport() -> None:
    """A row a fault, a column a transport, and a cell is empty where the wire cannot show it."""
    assert {fault for fault, _ in WANTED} == FAULTS.keys() - {"restore"}
    assert {transport for _, transport in WANTED} == TRANSPORTS.keys()
    for (fault, transport), wanted in WANTED.items():
        assert (wanted == CANNOT_SHOW) == (TRANSPORTS[transport][0] not in FAULTS[fault].fronts)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wire, "reply_timeout_s", 0.2)


@pytest.mark.parametrize(
    ("fault", "transport"), [case for case, wanted in WANTED.items() if wanted != CANNOT_SHOW]
)
async def test_a_fault_is_told_in_bounded_time_and_no_answer_is_anothers(
    bench: Bench, fault: str, transport: str
) -> None:
    """Each question has one right answer; the driver gives it or says what is wrong."""
    front, make, prepare, renamed = TRANSPORTS[transport]
    address, wire = await bench.plug(make(), front=front)
    device, questions = await prepare(renamed(address))
    await wire.apply(fault, **OPTIONS.get(fault, {}))
    if fault == "refuse":
        await wire.apply("hang_up")  # what is open stays open; only the next connection is refused
    if fault == "unsolicited":
        await asyncio.sleep(0.05)  # so that it is here before the question
    told: list[str] = []
    for right in list(questions)[:2]:
        word = await outcome(questions[right], right, others=questions.keys() - {right})
        told.append(word)
        if word in ("lost", "not found", "refused", "busy"):
            await wire.settle()
            await device.close()
            told.append(await outcome(device.connect, None))
        if fault == "idle":
            await asyncio.sleep(0.05)  # the silence that this fault is about
    wanted = WANTED[fault, transport] if WANTED[fault, transport] != "right" else ""
    seen = ", ".join(w for w in dict.fromkeys(told) if w != "right")
    assert seen == wanted or seen == RACES.get((fault, transport))

    await wire.apply("restore")
    async with asyncio.timeout(BOUND_S):
        while not await whole(device, questions):
            await device.close()
            await outcome(device.connect, None)
    await device.close()
    gc.collect()  # what was left open is told here, in the test that left it


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


async def whole(device: Any, questions: Questions) -> bool:
    """Whether every question is answered rightly."""
    return all([await outcome(ask, right) == "right" for right, ask in questions.items()])
