"""A wire in doubt finds its place again, whatever is still on its way."""

import asyncio
import os
import re
import tty
from collections.abc import AsyncIterator, Callable

import pytest
from bench import eventually

from qkd_drivers.errors import DeviceProtocolError, DeviceRefused, DeviceTimeout
from qkd_drivers.framing import Dialect, LineWire, OzWire, S15Wire, Wire
from qkd_drivers.transports import make_transport


class SlowBox:
    """A box on a pty that answers in order, and takes its time where the test says so."""

    def __init__(self, answer: Callable[[str], bytes]) -> None:
        self._master, slave = os.openpty()
        tty.setraw(self._master)
        self.path = os.ttyname(slave)
        self._slave = slave
        self._answer = answer
        self._asked: asyncio.Queue[str] = asyncio.Queue()
        self.pause_s: dict[str, float] = {}
        self.deaf: set[str] = set()

    def start(self) -> None:
        asyncio.get_running_loop().add_reader(self._master, self._read)
        self._work = asyncio.ensure_future(self._serve())

    def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        self._work.cancel()
        os.close(self._slave)
        os.close(self._master)

    def _read(self) -> None:
        for command in filter(None, re.split(r"[;\r\n]", os.read(self._master, 4096).decode())):
            self._asked.put_nowait(command)

    async def _serve(self) -> None:
        while True:
            command = await self._asked.get()
            await asyncio.sleep(self.pause_s.pop(command, 0.0))
            if command in self.deaf:
                self.deaf.remove(command)
            else:
                os.write(self._master, self._answer(command))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wire, "reply_timeout_s", 0.4)


def s15_answer(command: str) -> bytes:
    answers = {"*IDN?": "S-Fifteen SPD 1", "HVOLT?": "120.0", "TEMP?": "-15.0", "BAD?": "x1"}
    if command.startswith("HVOLT ") and float(command[6:]) > 250:
        return b"Error: hvolt takes 0 to 250\r\n"
    return f"{answers[command]}\r\n".encode() if command in answers else b""


def oz_answer(command: str) -> bytes:
    if command == "V9,1":
        return b"Error: no such channel\r\nDone\r\n"
    content = {"V?": "Voltage(mV): CH1 +1\r\n", "M?": "DC\r\n", "WF?": "AC Waveform: Sine\r\n"}
    return content.get(command, "").encode() + b"Done\r\n"


@pytest.fixture
async def s15() -> AsyncIterator[tuple[S15Wire, SlowBox]]:
    box = SlowBox(s15_answer)
    box.start()
    wire = S15Wire(make_transport(f"serial:{box.path}"), "box", "SPD")
    await wire.open()
    yield wire, box
    await wire.close()
    box.stop()


async def test_s15_drops_the_answer_to_a_question_given_up(s15: tuple[S15Wire, SlowBox]) -> None:
    wire, box = s15
    box.pause_s["HVOLT?"] = 0.8
    with pytest.raises(DeviceTimeout, match=r"box.*HVOLT"):
        await wire.query("HVOLT?")
    assert await wire.query("TEMP?") == "-15.0"
    assert await wire.query("HVOLT?") == "120.0"


async def test_s15_finds_its_place_after_a_cancelled_question(
    s15: tuple[S15Wire, SlowBox],
) -> None:
    wire, box = s15
    box.pause_s["HVOLT?"] = 0.3
    asking = asyncio.create_task(wire.query("HVOLT?", timeout_s=5))
    await eventually(lambda: not box.pause_s)  # the box has begun to work on it
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await wire.query("TEMP?") == "-15.0"


async def test_s15_tries_again_when_the_landmark_itself_was_lost(
    s15: tuple[S15Wire, SlowBox],
) -> None:
    wire, box = s15
    assert await wire.query("TEMP?") == "-15.0"
    box.deaf = {"HVOLT?", "*IDN?"}
    for question in ("HVOLT?", "TEMP?"):
        with pytest.raises(DeviceTimeout):
            await wire.query(question)
    assert await wire.query("HVOLT?") == "120.0"


async def test_s15_tells_what_the_device_complains_of(s15: tuple[S15Wire, SlowBox]) -> None:
    wire, _ = s15
    with pytest.raises(DeviceRefused, match="takes 0 to 250"):
        await wire.set_number("HVOLT", 400, tolerance=0.5)
    with pytest.raises(DeviceRefused, match="still holds 120"):
        await wire.set_number("HVOLT", 130, tolerance=0.5)
    with pytest.raises(DeviceProtocolError, match="not a number"):
        await wire.query_number("BAD?")
    assert await wire.query_number("TEMP?") == -15


async def test_oz_drops_the_answer_to_a_question_given_up() -> None:
    box = SlowBox(oz_answer)
    box.start()
    wire = OzWire(make_transport(f"serial:{box.path}"), "box", landmark=("WF?", "waveform"))
    await wire.open()
    for late in ("V?", "V1,5"):
        box.pause_s[late] = 0.7
        with pytest.raises(DeviceTimeout):
            await wire.ask(late)
        assert await wire.ask("M?") == "DC"
        assert await wire.ask("V1,6") == ""
        assert await wire.ask("V?") == "Voltage(mV): CH1 +1"
    with pytest.raises(DeviceRefused, match=r"box: 'V9,1'.*no such channel"):
        await wire.ask("V9,1")
    assert await wire.ask("V?") == "Voltage(mV): CH1 +1"
    await wire.close()
    box.stop()


Lines = tuple[LineWire, SlowBox, list[str]]


def line_answer(command: str) -> bytes:
    answers = {"ID?": "BOX 1", "L?": "5", "X?": "oops", "OK": "ok", "NO": "?3", "ODD": "maybe"}
    if command == "L 99":
        return b"too large\r"
    if command == "N?":
        return b"BOX 1\r7\r"  # it sends its name unasked just before it answers
    return f"{answers[command]}\r".encode() if command in answers else b""


@pytest.fixture
async def lines() -> AsyncIterator[Lines]:
    heard: list[str] = []
    dialect = Dialect(
        end=b"\r", landmark=(b"ID?\r", rb"BOX \d\r"), refusal=r"\?\d", unasked=rb"BOX"
    )
    box = SlowBox(line_answer)
    box.start()
    transport = make_transport(f"serial:{box.path}")
    wire = LineWire(transport, "box", dialect, on_unasked=heard.append)
    await wire.open()
    yield wire, box, heard
    await wire.close()
    box.stop()


async def test_lines_drop_the_answer_to_a_question_given_up(lines: Lines) -> None:
    wire, box, _ = lines
    box.pause_s["X?"] = 0.7
    with pytest.raises(DeviceTimeout, match=r"box.*X\?"):
        await wire.ask("X?")
    assert await wire.ask_number("L?") == 5


async def test_lines_tell_what_the_device_complains_of(lines: Lines) -> None:
    wire, _, _ = lines
    with pytest.raises(DeviceRefused, match="too large"):
        await wire.settle("L 99", "L?", 99, tolerance=0)
    with pytest.raises(DeviceRefused, match="still holds 5"):
        await wire.settle("L 6", "L?", 6, tolerance=0)
    await wire.settle("L 5", "L?", 5, tolerance=0)
    await wire.confirm("OK")
    with pytest.raises(DeviceRefused, match=r"\?3"):
        await wire.confirm("NO")
    with pytest.raises(DeviceRefused, match="not OK"):
        await wire.confirm("ODD")
    with pytest.raises(DeviceProtocolError, match="not a number"):
        await wire.ask_number("X?")
    assert await wire.ask_number("L?") == 5


async def test_a_line_sent_unasked_is_handed_on_and_answers_nothing(lines: Lines) -> None:
    wire, _, heard = lines
    assert await wire.ask_number("N?") == 7
    assert heard == ["BOX 1"]
