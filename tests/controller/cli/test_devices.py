"""`qkd devices` lists, finds, shows, sets and traces; bad input is one clear line."""

import asyncio
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bench import running_bench, simulated
from pyvisa.constants import InterfaceType
from pyvisa_py.sessions import Session, UnavailableSession
from rich.console import Console

from qkd_controller.cli import devices
from qkd_controller.cli.devices import _change
from qkd_controller.cli.main import main
from qkd_controller.config.node import Device
from qkd_controller.devices import validate_device
from qkd_controller.node import operator
from qkd_controller.node.status import DeviceStatus
from qkd_drivers.catalogue import models, open_device
from qkd_drivers.contract import Identity
from qkd_drivers.scan import Found, Place, host_places, look, serial_places, visa_places
from qkd_firmware_sim.registry import SIMULATED


def test_every_model_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "list"]) == 0
    told = capsys.readouterr().out
    assert all(model in told for model in models())


async def test_every_instrument_on_a_serial_port_is_known_by_its_answers(tmp_path: Path) -> None:
    serial = [name for name, simulated_ in SIMULATED.items() if "pty" in simulated_.fronts]
    async with running_bench(tmp_path) as bench:
        address = {name: (await bench.plug(simulated(name)))[0] for name in serial}
        places = serial_places([each.removeprefix("serial:") for each in address.values()])
        for model, (found, *_) in zip(
            serial, await asyncio.gather(*map(look, places)), strict=True
        ):
            # A board whose heater alone is used answers as one that drives the pump as well.
            named = model.removesuffix("-source")
            assert found.model is not None and found.model.name == named
            assert found.address == address[model] and found.identity is not None
            # It was left as it was found: another program can open it.
            await (await open_device(model, found.address, "again")).close()


async def test_every_mount_of_a_bus_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever it sits; each has a section that can be pasted beside the others."""
    async with running_bench(tmp_path) as bench:
        bus: Any = simulated("thorlabs-ell14")
        bus.mounts = dict(zip("37F", bus.mounts.values(), strict=True))
        address, _ = await bench.plug(bus)
        port = address.removeprefix("serial:")
        assert await asyncio.to_thread(main, ["devices", "scan", "--serial", port]) == 0
    pasted = tomllib.loads(capsys.readouterr().out)["links"]["devices"]
    assert [each["address"] for each in pasted] == [f"{address}?bus={seat}" for seat in "37F"]
    assert len({each["name"] for each in pasted}) == 3
    assert len({each["serial_number"] for each in pasted}) == 3


async def test_an_instrument_at_a_host_is_known_by_its_answers(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        address, _ = await bench.plug(simulated("thorlabs-itc4000"), front="tcp")
        (place,) = host_places([address.removeprefix("tcp:")])
        (found,) = await look(place)
        assert found.model is not None and found.model.name == "thorlabs-itc4000"


HOSTED = [
    ("keysight-33500", "tcp", "tcp:"),
    ("keysight-33500", "hislip", "visa:TCPIP::127.0.0.1::hislip0,"),
    ("thorlabs-pm100d", "hislip", "visa:TCPIP::127.0.0.1::hislip0,"),
    ("single-quantum-websq", "two-tcp", "tcp:"),
    ("idq-id900", "zmtp", "zeromq:"),
]


@pytest.mark.parametrize(("model", "front", "scheme"), HOSTED)
async def test_an_instrument_at_any_port_of_a_host_is_known_by_its_answers(
    tmp_path: Path, model: str, front: str, scheme: str
) -> None:
    """Whichever language is spoken there."""
    async with running_bench(tmp_path) as bench:
        address, _ = await bench.plug(simulated(model), front=front)
        (port,) = re.findall(r"\d{4,5}(?!.*hislip)", address)[:1]
        (place,) = host_places([f"127.0.0.1:{port}"])
        (found,) = await look(place, patience_s=0.5)
        assert found.model is not None and found.model.name == model
        assert found.address.startswith(scheme) and port in found.address


def test_instruments_at_a_host_are_looked_for_where_each_model_listens() -> None:
    places = {address for place in host_places(["10.0.0.9"]) for _, address in place.addresses}
    assert places == {
        "visa:TCPIP::10.0.0.9::hislip0::INSTR",
        "tcp:10.0.0.9:5025",
        "zeromq:10.0.0.9:5555",
        "tcp:10.0.0.9:12000",
        "tcp:10.0.0.9:2101",
        "tcp:10.0.0.9:2000",
        "tcp:10.0.0.9:8888",
    }


@pytest.mark.parametrize("host", ["", "a b", ":5025", "host:", "host:99999", "host:0", "::1"])
def test_what_is_no_host_is_refused(capsys: pytest.CaptureFixture[str], host: str) -> None:
    assert main(["devices", "scan", "--host", host]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"qkd: --host {host!r} is no HOST or HOST:PORT; IPv6 stands in brackets"


async def test_usb_and_gpib_are_looked_at_through_visa(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the sessions of PyVISA-py alone: its other ways to look would broadcast."""
    async with running_bench(tmp_path) as bench:
        meter, _ = await bench.plug(simulated("thorlabs-pm100d"), front="hislip")
        pulser, _ = await bench.plug(simulated("keysight-33500"), front="hislip")

        class Usb(Session):
            @staticmethod
            def list_resources() -> list[str]:
                return [meter.removeprefix("visa:")]

        class Gpib(Session):
            @staticmethod
            def list_resources() -> list[str]:
                return [pulser.removeprefix("visa:")]

        monkeypatch.setattr(
            Session,
            "_session_classes",
            Session._session_classes
            | {(InterfaceType.usb, "INSTR"): Usb, (InterfaceType.gpib, "INSTR"): Gpib}
            | {(InterfaceType.gpib, "INTFC"): Gpib},
        )
        places, blind = visa_places()
        assert blind == [] and [place.name for place in places] == [meter, pulser]
        found = [each for looked in map(look, places) for each in await looked]
    assert [each.address for each in found] == [meter, pulser]
    assert [each.model and each.model.name for each in found] == [
        "thorlabs-pm100d",
        "keysight-33500",
    ]


def test_a_bus_that_cannot_be_looked_at_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its library is missing, or fails; the scan goes on."""

    class Missing(UnavailableSession):
        session_issue = "Please install PyUSB to use this resource type.\nNo module named 'usb'"

    class Failing(Session):
        @staticmethod
        def list_resources() -> list[str]:
            raise RuntimeError("no board\nno luck")

    keys = [(InterfaceType.usb, "INSTR"), (InterfaceType.gpib, "INSTR")]
    there = Session._session_classes | dict(zip(keys, [Missing, Failing], strict=True))
    there |= {(InterfaceType.gpib, "INTFC"): Failing}
    monkeypatch.setattr(Session, "_session_classes", there)
    monkeypatch.setattr(devices, "serial_places", lambda paths: [])
    assert main(["devices", "scan"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "# USB was not looked at: Please install PyUSB to use this resource type",
        "# GPIB was not looked at: no board\\nno luck",
        "# no instrument is plugged in here; name a --host to look there",
    ]


def test_a_section_can_be_pasted_whatever_the_instrument_says_of_itself() -> None:
    model = models()["thorlabs-pm100d"]
    identity = Identity("PM100D\n[evil]", 'P00"\\\x07', "2.6\r")
    place = Place([], "visa:x")
    names: set[str] = set()
    text = "".join(
        devices._stanza(Found(place, model, "visa:USB0::1::2::INSTR", identity), names)
        for _ in range(3)
    )
    pasted = tomllib.loads(text)["links"]["devices"]
    assert [each["name"] for each in pasted] == [
        "thorlabs-pm100d",
        "thorlabs-pm100d-2",
        "thorlabs-pm100d-3",
    ]
    assert {each["serial_number"] for each in pasted} == {'P00"\\\\x07'}
    for each in pasted:
        device = msgspec.convert(each, Device)
        assert [fault.partition(": ")[2] for fault in validate_device(device)] == [
            "wavelength_nm: thorlabs-pm100d needs this set-point"
        ]


async def test_a_place_without_a_known_instrument_says_why(tmp_path: Path) -> None:
    (place,) = serial_places([str(tmp_path / "ttyNONE")])
    (found,) = await look(place)
    assert found.model is None and "no serial port" in found.cause


def test_a_scan_that_finds_nothing_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["devices", "scan", "--serial", str(tmp_path / "ttyNONE")]) == 1
    assert "ttyNONE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("temperature_c=-12.5", ("temperature_c", -12.5)),
        ("level=NIM", ("level", "NIM")),
        ('level="-0.4"', ("level", "-0.4")),
        ("voltages_mv=[0, 1, 2, 3]", ("voltages_mv", [0, 1, 2, 3])),
        ("discipline=true", ("discipline", True)),
    ],
)
def test_a_value_is_written_as_in_a_configuration(text: str, change: tuple[str, object]) -> None:
    assert _change(text) == change


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["current_a"], "'current_a': want KEY=VALUE, such as temperature_c=-12.5"),
        (["=3"], "want KEY=VALUE"),
        (["current_a=nan"], "'current_a=nan': want finite numbers"),
        (["current_a=2020-01-01"], "want finite numbers"),
        (["current_a=1", "current_a=2"], "current_a is given twice"),
    ],
)
def test_a_change_that_cannot_be_meant_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, changes: list[str], told: str
) -> None:
    assert main(["devices", "set", str(tmp_path / "node.toml"), "pump", *changes]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_a_reading_is_shown_with_its_age_unless_it_is_of_this_moment() -> None:
    device = DeviceStatus(
        name="pump",
        kind="laser",
        model="thorlabs-itc4000",
        state="ready",
        cause="at its set-points",
        readings={"current_a": (0.061, "A", 998.0), "power_w": (0.002, "W", 940.0)},
        set_points={"current_a": 0.06},
        observed={"current_a": 0.061},
    )
    assert rows(device) == [
        ["current_a", "0.06", "0.061", "0.061 A"],
        ["power_w", "0.002 W (60 s ago)"],
    ]
    away = msgspec.structs.replace(device, state="disconnected", readings={}, observed={})
    assert rows(away) == [["current_a", "0.06"]]


def rows(device: DeviceStatus) -> list[list[str]]:
    console = Console(width=120)
    with console.capture() as captured:
        console.print(devices._figures(device, 1000.0))
    return [re.split(r" {2,}", line.strip()) for line in captured.get().splitlines()[1:]]


class SlowNode:
    """A node whose device is there once the asker was told three times that it goes on."""

    def __init__(self) -> None:
        self.changes: dict[str, Any] = {}
        self.told = asyncio.Semaphore(0)

    async def set(
        self, device: str, changes: dict[str, Any], user_id: int
    ) -> operator.Done | operator.Kept:
        for _ in range(3):
            await self.told.acquire()
        self.changes = changes
        return operator.Done()

    def tell(self, writer: asyncio.StreamWriter, answer: msgspec.Struct) -> None:
        writer.write(msgspec.json.encode(answer) + b"\n")
        self.told.release()


async def test_a_change_that_takes_long_is_told_to_be_on_its_way(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "status.sock"
    monkeypatch.setattr(operator, "WORKING_EVERY_S", 0.02)
    monkeypatch.setattr(devices, "_socket", lambda config: path)
    node: Any = SlowNode()
    monkeypatch.setattr(operator, "_tell", node.tell)
    async with operator.serve_operator(path, node):
        command = ["devices", "set", "node.toml", "oven", "temperature_c=45.0", "level=NIM"]
        assert await asyncio.to_thread(main, command) == 0
    assert node.changes == {"temperature_c": 45.0, "level": "NIM"}
    on_its_way, there = capsys.readouterr().out.splitlines()
    assert on_its_way.startswith("oven is on its way")
    assert there.startswith("oven is at its new set-points until the node ends")


class PatientNode:
    """A node whose device is away."""

    async def set(self, device: str, changes: dict[str, Any], user_id: int) -> operator.Kept:
        return operator.Kept("pump is disconnected (unplugged): the change waits until it is ready")


async def test_a_change_of_a_device_that_is_away_is_told_to_be_kept(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "status.sock"
    monkeypatch.setattr(devices, "_socket", lambda config: path)
    node: Any = PatientNode()
    async with operator.serve_operator(path, node):
        command = ["devices", "set", "node.toml", "pump", "current_a=0.05"]
        assert await asyncio.to_thread(main, command) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("kept for later: pump is disconnected (unplugged): the change waits")
