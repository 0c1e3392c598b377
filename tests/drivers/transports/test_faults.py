"""What a transport says when its wire fails."""

import asyncio
import contextlib
import os
import socket
import termios
import threading
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from bench import Bench, eventually, itc
from serial.tools.list_ports_common import ListPortInfo

from qkd_drivers import scan
from qkd_drivers.errors import (
    DeviceBusy,
    DeviceLost,
    DeviceNotFound,
    DeviceRefused,
    DeviceTimeout,
)
from qkd_drivers.framing import ScpiWire, TraceEntry
from qkd_drivers.transports import Transport, make_transport, open_transport, split_host
from qkd_drivers.transports.base import BUFFER_LIMIT_BYTES
from qkd_drivers.transports.tcp import TcpTransport

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Terminal:
    """A pty whose far side the test plays by hand."""

    def __init__(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(self.master)
        self.path = os.ttyname(slave)
        os.close(slave)

    def unplug(self) -> None:
        os.close(self.master)
        self.master = -1


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    if terminal.master >= 0:
        os.close(terminal.master)


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[str]:
    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    async with server:
        yield f"tcp:127.0.0.1:{server.sockets[0].getsockname()[1]}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def test_an_absent_serial_port_is_not_a_busy_one(terminal: Terminal, tmp_path: Path) -> None:
    with pytest.raises(DeviceNotFound, match="plugged in"):
        await open_transport(f"serial:{tmp_path}/ttyACM7")
    first = await open_transport(f"serial:{terminal.path}")
    with pytest.raises(DeviceBusy, match="another program"):
        await open_transport(f"serial:{terminal.path}")
    await first.close()
    await (await open_transport(f"serial:{terminal.path}")).close()


async def test_a_name_by_id_is_one_port_wherever_it_points(
    terminal: Terminal, tmp_path: Path
) -> None:
    """Held under any of its names it is busy; unplugged it is absent; plugged in anew it is back,
    though the kernel gives it another number."""
    by_id = tmp_path / "usb-S-Fifteen_Instruments_TDC1_TDC1-0412-if00"
    by_id.symlink_to(terminal.path)
    held = await open_transport(f"serial:{by_id}")
    with pytest.raises(DeviceBusy, match="another program"):
        await open_transport(f"serial:{terminal.path}")
    terminal.unplug()
    with pytest.raises(DeviceLost, match=r"TDC1-0412.*unplugged"):
        await held.read_some(timeout_s=5)
    await held.close()
    with pytest.raises(DeviceNotFound, match="TDC1-0412"):
        await open_transport(f"serial:{by_id}")
    master, slave = os.openpty()
    tty.setraw(master)
    by_id.unlink()
    by_id.symlink_to(os.ttyname(slave))
    again = await open_transport(f"serial:{by_id}")
    os.write(master, b"back")
    assert await again.read_exactly(4, timeout_s=5) == b"back"
    await again.close()
    os.close(master)
    os.close(slave)


def test_a_scan_names_a_port_by_its_id(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stanza that it prints stays true when ports are numbered anew."""
    by_id = tmp_path / "usb-S-Fifteen_Instruments_TDC1_TDC1-0412-if00"
    by_id.symlink_to(terminal.path)
    port = ListPortInfo(terminal.path)
    port.vid = 0x0483
    monkeypatch.setattr(scan, "BY_ID", tmp_path)
    monkeypatch.setattr(scan.list_ports, "comports", lambda: [port])
    assert [place.name for place in scan.serial_places()] == [str(by_id)]


async def test_unplugging_a_serial_port_ends_a_read_at_once(terminal: Terminal) -> None:
    port = await open_transport(f"serial:{terminal.path}")
    os.write(terminal.master, b"12")
    reading = asyncio.create_task(port.read_until(b"\n", timeout_s=10))
    await asyncio.sleep(0)
    terminal.unplug()
    with pytest.raises(DeviceLost, match="unplugged"):
        await reading
    with pytest.raises(DeviceLost):
        await port.write(b"x")
    await port.close()
    await port.close()


async def test_a_timeout_keeps_what_came(terminal: Terminal) -> None:
    port = await open_transport(f"serial:{terminal.path}")
    os.write(terminal.master, b"-12.")
    with pytest.raises(DeviceTimeout, match=r"4 bytes came.*-12\.") as caught:
        await port.read_until(b"\n", timeout_s=0.05)
    assert caught.value.partial == b"-12."
    os.write(terminal.master, b"5\r\nrest")
    assert await port.read_until(b"\n", timeout_s=1) == b"-12.5\r\n"
    assert await port.read_exactly(4, timeout_s=1) == b"rest"
    await port.close()


async def test_a_full_serial_line_does_not_block_the_loop(terminal: Terminal) -> None:
    port = await open_transport(f"serial:{terminal.path}")
    with pytest.raises(DeviceTimeout, match="took only"):
        await port.write(bytes(1 << 20), timeout_s=0.1)
    await port.close()


async def test_unread_bytes_are_bounded() -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        block = bytes(1 << 20)
        while True:
            writer.write(block)
            await writer.drain()

    async with listening(flood) as address:
        wire: Any = await open_transport(address)
        await eventually(lambda: not wire._wire.transport.is_reading())
        held = await wire.read_some(timeout_s=1)
        assert BUFFER_LIMIT_BYTES <= len(held) < 2 * BUFFER_LIMIT_BYTES
        assert await wire.read_some(timeout_s=1), "reading goes on after a pause"
        await wire.close()


async def test_a_closed_port_an_unknown_host_and_a_bad_address_are_told_apart() -> None:
    with pytest.raises(DeviceRefused, match="switched on"):
        await open_transport(f"tcp:127.0.0.1:{free_port()}")
    with pytest.raises(DeviceNotFound, match="unknown"):
        await open_transport("tcp:no-such-host.invalid:5025")
    with pytest.raises(DeviceRefused, match="switched on"):
        await open_transport(f"visa:TCPIP::127.0.0.1::hislip0,{free_port()}::INSTR")
    with pytest.raises(DeviceRefused, match="switched on"):
        await open_transport(f"visa:TCPIP::127.0.0.1::{free_port()}::SOCKET")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "usb:1",
        "tcp:host",
        "tcp::5",
        "tcp:host:0",
        "serial:",
        "serial:/dev/x?parity=e",
        "serial:/dev/x?flow=x",
        "visa:",
    ],
)
def test_a_malformed_address_says_what_is_wanted(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        make_transport(address)


@pytest.mark.parametrize("turns", range(1, 8))
async def test_a_close_while_a_connection_is_made_leaves_none(turns: int) -> None:
    """However far it had come: whoever opens is told, unless it was open before."""
    begun = ended = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal begun, ended
        begun += 1
        with contextlib.suppress(ConnectionError):
            await reader.read()
        ended += 1

    async with listening(serve) as address:
        transport = TcpTransport(address, *split_host(address))
        opening = asyncio.create_task(transport.open())
        for _ in range(turns):
            await asyncio.sleep(0)
        was_open = opening.done()
        await transport.close()
        (fault,) = await asyncio.gather(opening, return_exceptions=True)
        assert was_open or (isinstance(fault, DeviceLost) and "being opened" in str(fault))
        assert not transport.is_open
        await transport.open()
        await eventually(lambda: begun == ended + 1)
        await transport.close()
        await eventually(lambda: begun == ended)


async def test_of_two_that_open_a_connection_the_last_has_it() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)

    async with listening(echo) as address:
        transport = make_transport(address)
        first, second = (asyncio.create_task(transport.open()) for _ in range(2))
        with pytest.raises(DeviceLost, match="while it was being opened"):
            await first
        await second
        await transport.write(b"two?\n")
        assert await transport.read_until(b"\n", timeout_s=5) == b"two?\n"
        await transport.close()


async def test_a_peer_that_closes_in_mid_reply_is_lost_with_the_rest_kept() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"1.2")
        await writer.drain()

    async with listening(serve) as address:
        wire = await open_transport(address)
        await wire.write(b"?\n")
        with pytest.raises(DeviceLost, match="closed the connection") as caught:
            await wire.read_until(b"\n", timeout_s=5)
        assert caught.value.partial == b"1.2"
        await wire.close()


async def scpi_like(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers each question with its own name; ``slow?`` only after the next one came."""
    late = b""
    while line := (await reader.readline()).strip():
        if line == b"slow?":
            late = b"late answer to slow?\n"
            continue
        answer = b"a,b,c,d" if line == b"*IDN?" else b'0,"No error"' if b"ERR" in line else line
        writer.write(late + answer + b"\n")
        late = b""


async def test_a_stale_reply_never_answers_the_next_question() -> None:
    async with listening(scpi_like) as address:
        port = address.rpartition(":")[2]
        for same in (address, f"visa:TCPIP::127.0.0.1::{port}::SOCKET"):
            trace: list[TraceEntry] = []
            wire = ScpiWire(make_transport(same), "box", trace.append)
            await wire.open()
            assert await wire.query("one?") == "one?"
            with pytest.raises(DeviceTimeout, match=r"box.*slow"):
                await wire.query("slow?", timeout_s=0.1)
            for question in ("two?", "three?"):
                assert await wire.query(question) == question
            assert {entry.direction for entry in trace} == {">", "<", "!"}
            await wire.close()


async def test_two_questions_at_once_get_their_own_answers() -> None:
    async with listening(scpi_like) as address:
        wire = ScpiWire(make_transport(address), "box")
        await wire.open()
        questions = [f"q{i}?" for i in range(50)]
        answers = await asyncio.gather(*(wire.query(question) for question in questions))
        assert answers == questions
        await wire.close()


async def test_a_half_open_visa_peer_times_out_and_does_not_wedge(bench: Bench) -> None:
    address, wire = await bench.plug(itc(), front="hislip")
    visa = await open_transport(address)
    await wire.apply("silence")
    await visa.write(b"*IDN?\n")
    with pytest.raises(DeviceTimeout):
        await visa.read_until(b"\n", timeout_s=0.1)
    await wire.apply("restore")
    await visa.resynchronise()
    await visa.write(b"*IDN?\n")
    assert b"ITC4001" in await visa.read_until(b"\n", timeout_s=1)
    await wire.apply("cut")
    with pytest.raises(DeviceLost):
        await ask(visa)
    await visa.close()


async def ask(wire: Transport) -> None:
    for _ in range(3):
        await wire.write(b"*IDN?\n")
        await wire.read_until(b"\n", timeout_s=0.5)


async def test_a_visa_call_can_be_cancelled_and_its_thread_ends(bench: Bench) -> None:
    address, wire = await bench.plug(itc(), front="hislip")
    visa = await open_transport(address)
    await wire.apply("silence")
    await visa.write(b"*IDN?\n")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await visa.read_until(b"\n", timeout_s=0.5)
    with pytest.raises(DeviceLost, match="not open"):
        await visa.write(b"*IDN?\n")
    await eventually(lambda: not any(t.name.startswith("visa") for t in threading.enumerate()))
    await wire.apply("restore")
    await visa.open()
    await visa.write(b"*IDN?\n")
    assert b"ITC4001" in await visa.read_until(b"\n", timeout_s=1)
    await visa.close()


@pytest.mark.parametrize("scheme", ["serial:{}", "visa:ASRL{}::INSTR"])
@pytest.mark.parametrize(
    ("options", "speed", "handshake"),
    [
        ("", termios.B9600, False),
        ("?baud=19200", termios.B19200, False),
        ("?baud=57600&flow=rtscts", termios.B57600, True),
        ("?flow=none", termios.B9600, False),
    ],
)
async def test_a_serial_line_runs_as_its_address_or_its_model_says(
    terminal: Terminal, scheme: str, options: str, speed: int, handshake: bool
) -> None:
    """Under either name."""
    address = scheme.format(terminal.path) + options
    line = make_transport(address, default_baud=9600)
    await line.open()
    control, told = termios.tcgetattr(terminal.master)[2], termios.tcgetattr(terminal.master)[4:6]
    assert told == [speed, speed] and bool(control & termios.CRTSCTS) == handshake
    await line.close()


@pytest.mark.parametrize("scheme", ["serial:/dev/ttyX", "visa:ASRL/dev/ttyX::INSTR"])
@pytest.mark.parametrize("option", ["baud=fast", "baud=0", "flow=xonxoff", "colour=blue"])
def test_an_option_of_a_serial_line_that_is_none_is_refused(scheme: str, option: str) -> None:
    with pytest.raises(ValueError, match=f"'{option}' is not baud=NUMBER, flow=none or flow=rts"):
        make_transport(f"{scheme}?{option}")


def test_a_resource_that_is_no_serial_line_has_no_baud() -> None:
    with pytest.raises(ValueError, match="'baud=9600' is for a serial port"):
        make_transport("visa:TCPIP::10.0.0.9::hislip0::INSTR?baud=9600")


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # PyVISA-py drops its sockets unclosed
async def test_a_visa_server_that_hangs_up_at_once_is_refused_without_a_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        return

    async with listening(hang_up) as address:
        port = address.rpartition(":")[2]
        with pytest.raises(DeviceRefused, match="hislip0"):
            await open_transport(f"visa:TCPIP::127.0.0.1::hislip0,{port}::INSTR")
    assert not caplog.records


async def test_visa_reaches_serial_instruments_too(terminal: Terminal) -> None:
    visa = await open_transport(f"visa:ASRL{terminal.path}::INSTR")
    await visa.write(b"hello\n")
    assert os.read(terminal.master, 100) == b"hello\n"
    os.write(terminal.master, b"world\n")
    assert await visa.read_until(b"\n", timeout_s=1) == b"world\n"
    terminal.unplug()
    with pytest.raises(DeviceLost):
        await visa.read_until(b"\n", timeout_s=0.5)
    await visa.close()
