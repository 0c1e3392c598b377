"""`qkd-sim` as its users meet it: a process, its addresses, its control socket."""

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import serial

from qkd_firmware_sim import actions
from qkd_firmware_sim.bench import Bench
from qkd_firmware_sim.lab import Event, Lab, LabError
from qkd_firmware_sim.main import main

pytestmark = pytest.mark.system


def ask(path: str, command: bytes, timeout_s: float = 5.0) -> bytes:
    with serial.Serial(path, timeout=timeout_s) as port:
        port.write(command)
        return bytes(port.read_until(b"\r\n"))


def control(lab: Any, action: dict[str, object]) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(lab.directory / "control.sock"))
        client.sendall(json.dumps(action).encode() + b"\n")
        with client.makefile("rb") as answers:
            return dict(json.loads(answers.readline()))


def bring_up(lab: Any) -> None:
    host, port = lab.addresses["pump"][0].removeprefix("tcp:").split(":")
    with socket.create_connection((host, int(port))) as pump:
        pump.settimeout(5)
        pump.sendall(b"OUTP2 ON;:SOUR:CURR 0.06;:OUTP1 ON;*OPC?\n")
        assert pump.recv(10) == b"1\n"
    with serial.Serial(lab.path("oven")) as oven:
        oven.write(b"power 1;hrate 1;hsettemp 45;hloop 1;")
    for i in (1, 2, 3, 4):
        with serial.Serial(lab.path(f"alice-spd-{i}")) as spd:
            spd.write(b"settemp -10;loop 1;hvolt 195;threshvolt 0.2;")


def singles(lab: Any) -> int:
    return sum(int(n) for n in ask(lab.path("alice-tagger"), b"singles;time 200;counts?;").split())


def test_knobs_turned_over_their_wires_change_the_counts(lab_process: Any) -> None:
    lab = lab_process
    assert len(lab.addresses) == 13
    assert lab.addresses["pump"][1].startswith("visa:TCPIP::127.0.0.1::hislip0,")
    assert singles(lab) == 0
    bring_up(lab)
    while float(ask(lab.path("oven"), b"htemp?;")) < 44.95:
        pass
    bright = singles(lab)
    assert bright * 5 > 100_000
    with serial.Serial(lab.path("alice-spd-1")) as spd:
        spd.write(b"hvolt 0;")
    assert singles(lab) < 0.8 * bright

    before = control(lab, {"do": "status"})["status"]
    assert ask(lab.path("epc"), b"V1,2500\r\n") == b"Done\r\n"
    ask(lab.path("oven"), b"htemp?;")
    deadline = before["time_s"] + 2
    after = before
    while after["time_s"] <= before["time_s"] + 0.05 and after["time_s"] < deadline:
        after = control(lab, {"do": "status"})["status"]
    assert abs(after["qber_x"] - before["qber_x"]) > 0.02

    assert control(lab, {"do": "wire", "device": "epc", "fault": "cut"}) == {"ok": True}
    with pytest.raises(serial.SerialException):
        serial.Serial(lab.path("epc"))
    assert control(lab, {"do": "wire", "device": "epc", "fault": "restore"}) == {"ok": True}
    assert ask(lab.path("epc"), b"V?\r\n").startswith(b"Voltage")


def test_a_lab_leaves_nothing_behind(lab_process: Any, capsys: pytest.CaptureFixture[str]) -> None:
    lab = lab_process
    assert stat.S_IMODE((lab.directory / "control.sock").stat().st_mode) == 0o600
    assert stat.S_IMODE(lab.directory.stat().st_mode) == 0o700
    assert main(["ctl", str(lab.directory), '{"do": "attack", "fraction": 0.5}']) == 0
    assert main(["ctl", str(lab.directory), '{"do": "attack"}']) == 1
    assert "missing required field `fraction`" in capsys.readouterr().out
    assert lab.stop() == 0
    assert list(lab.directory.iterdir()) == []
    assert main(["ctl", str(lab.directory), '{"do": "status"}']) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot read the lab file {path}: No such file or directory"),
        ("at = 3", "{path}: at: expected an array, found 3"),
        ("[[at]]\ntime_s=2\ndo='overflow'\ndevice='a'", "{path}: at[0], time_s = 2: there is no"),
        ("runtime_dir = 'lab.toml'", "{path}: cannot make {path}: File exists"),
        ("runtime_dir = '" + "a/" * 100 + "'", "{path}: cannot use {path.parent}/a/a/"),
    ],
)
def test_a_bad_lab_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, told: str
) -> None:
    path = tmp_path / "lab.toml"
    if text is not None:
        path.write_text(text)
    assert main([str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("qkd-sim: " + told.format(path=path)) and "None" not in line


def test_an_action_that_no_lab_answers_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No lab, a path too long for a socket, a lab that is stopped, and one that hangs up."""

    def told(directory: Path, action: str = '{"do": "status"}') -> str:
        assert main(["ctl", str(directory), action]) == 2
        output = capsys.readouterr()
        (line,) = output.err.splitlines()
        assert output.out == "" and line.startswith("qkd-sim: ") and "None" not in line
        return line

    assert "No such file or directory; does qkd-sim run there?" in told(tmp_path)
    assert "AF_UNIX path too long" in told(tmp_path / ("a" * 120))
    monkeypatch.setattr("qkd_firmware_sim.main.CONTROL_TIMEOUT_S", 0.05)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / "control.sock"))
        assert "Connection refused" in told(tmp_path)
        mute.listen()
        assert "does not answer within 0.05 s" in told(tmp_path)


def test_an_action_that_is_none_is_answered(lab_process: Any) -> None:
    """Also one that no text can be, and one that is too long; the lab goes on."""
    directory = str(lab_process.directory)
    for action in ("", "{", "[]", '{"do": "dance"}', '{"do": "swap", "device": 3}', "\udcff"):
        assert main(["ctl", directory, action]) == 1
    assert main(["ctl", directory, '{"do": "loss", "loss_db": 1e400}']) == 1
    assert main(["ctl", directory, '{"do": "status", "x": "' + "x" * 100_000 + '"}']) == 2
    assert main(["ctl", directory, '{"do": "status"}']) == 0


@pytest.mark.parametrize("arguments", [["faults"], ["ctl", "{lab}", '{"do": "status"}']])
def test_a_reader_that_has_read_enough_is_no_error(lab_process: Any, arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "qkd_firmware_sim.main"),
            *(each.replace("{lab}", str(lab_process.directory)) for each in arguments),
        ],
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("strict", [False, True])
async def test_a_slow_reader_holds_time_back_and_an_absent_one_overflows(
    demo: Lab, tmp_path: Path, strict: bool
) -> None:
    lab = msgspec.structs.replace(
        demo,
        speed=50.0,
        tagger_fifo_bytes=1 << 16,
        reader_patience_s=1000.0 if strict else 0.2,
        strict_realtime=strict,
    )
    async with Bench(lab, tmp_path / "lab") as bench:
        running = asyncio.create_task(bench.run())
        world = bench.world
        world.cores["pump"].session().receive(b"OUTP2 ON;:SOUR:CURR 0.06;:OUTP1 ON\n")
        world.cores["oven"].session().receive(b"power 1;hrate 1;hsettemp 45;hloop 1;")
        for i in (1, 2, 3, 4):
            spd = world.cores[f"alice-spd-{i}"].session()
            spd.receive(b"settemp -10;loop 1;hvolt 195;threshvolt 0.2;")
        await when(lambda: float(str(world.status()["pair_rate_hz"])) > 4e5)
        tagger = world.taggers["alice-tagger"]
        with serial.Serial(str(tmp_path / "lab" / "alice-tagger"), timeout=0) as client:
            client.write(b"*RST;NIM;time 0;timestamp;counts?;")
            await when(lambda: tagger.backlog_bytes > tagger.fifo_bytes // 2)
            if not strict:
                held_at = world.now_ps
                await when(lambda: bool(client.read(4096)) and world.now_ps > held_at)
                assert not tagger._status
            await when(lambda: bool(tagger._status))
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()


async def when(condition: Any) -> None:
    """Waits until a condition holds."""
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.002)


async def test_a_serial_line_answers_at_the_baud_of_its_model_or_of_the_lab(
    demo: Lab, tmp_path: Path
) -> None:
    """A USB port that is no such line answers at once."""
    epc = next(each for each in demo.instruments if each.model == "oz-epc400")
    fast = msgspec.structs.replace(epc, baud=115200)
    others = tuple(each for each in demo.instruments if each is not epc)
    for own, baud in ((epc, 9600), (fast, 115200)):
        lab = msgspec.structs.replace(demo, instruments=(own, *others))
        async with Bench(lab, tmp_path / "lab") as bench:
            ports: dict[str, Any] = dict(bench._ports)
            assert ports["epc"]._baud == baud and ports["oven"]._baud is None


async def test_two_labs_do_not_share_a_directory(demo: Lab, tmp_path: Path) -> None:
    async with Bench(demo, tmp_path / "lab"):
        with pytest.raises(LabError, match="already runs"):
            async with Bench(demo, tmp_path / "lab"):
                pass
        assert (tmp_path / "lab" / "oven").is_symlink()


async def test_a_port_that_is_taken_is_an_error_of_the_lab(demo: Lab, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        pump = msgspec.structs.replace(demo.instruments[0], tcp_port=port)
        lab = msgspec.structs.replace(demo, instruments=(pump,))
        with pytest.raises(LabError, match=f"{port} for pump: "):
            async with Bench(lab, tmp_path / "lab"):
                pass


async def test_events_of_the_scenario_happen_in_their_time(demo: Lab, tmp_path: Path) -> None:
    lab = msgspec.structs.replace(
        demo, speed=100.0, events=(Event(time_s=0.5, action=actions.Attack(0.7)),)
    )
    async with Bench(lab, tmp_path / "lab") as bench:
        running = asyncio.create_task(bench.run())
        await when(lambda: bench.world.now_ps > 10**12)
        assert bench.world.status()["attack_fraction"] == 0.7
        running.cancel()
        await asyncio.wait([running])


async def test_an_event_that_fails_in_its_time_is_told_and_the_lab_goes_on(
    demo: Lab, tmp_path: Path
) -> None:
    """A port is taken by another program while its wire is cut, so it cannot be restored."""
    pump = msgspec.structs.replace(demo.instruments[0], model="qc-9530", hislip_port=0)
    cut = Event(time_s=0.1, action=actions.WireFault("pump", "cut"))
    mend = Event(time_s=1.0, action=actions.WireFault("pump", "restore"))
    attack = Event(time_s=1.5, action=actions.Attack(0.5))
    lab = msgspec.structs.replace(demo, instruments=(pump,), events=(mend, cut, attack))
    told: list[str] = []
    async with Bench(lab, tmp_path / "lab", told.append) as bench:
        address = next(each for _, each in bench.addresses if each.startswith("tcp:"))
        running = asyncio.create_task(bench.run())
        await when(lambda: bench.world.now_ps > 2 * 10**11)
        with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
            await when(lambda: bench.world.status()["attack_fraction"] == 0.5)
        assert not running.done()
        running.cancel()
        await asyncio.wait([running])
    (line,) = told
    assert line.startswith("[[at]] time_s = 1: pump: restore: ") and "in use" in line
