"""Front-ends seen from their clients: ptys, sockets and PyVISA."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import pyvisa
import serial

from qkd_firmware_sim.cores.core import SerialCore
from qkd_firmware_sim.cores.epc400 import Epc400
from qkd_firmware_sim.cores.id900 import Id900
from qkd_firmware_sim.cores.itc4000 import Itc4000
from qkd_firmware_sim.cores.websq import WebSq
from qkd_firmware_sim.frontends.faults import FAULTS
from qkd_firmware_sim.frontends.hislip import HislipPort
from qkd_firmware_sim.frontends.pty import PtyPort
from qkd_firmware_sim.frontends.tcp import TcpPort
from qkd_firmware_sim.frontends.two_ports import TwoPorts
from qkd_firmware_sim.frontends.wire import Wire
from qkd_firmware_sim.frontends.zmtp import ZmtpPort

VOLTAGES = b"Voltage(mV): CH1 +0 CH2 +0 CH3 +0 CH4 +0\r\nDone\r\n"


@asynccontextmanager
async def opened(port: Any) -> AsyncIterator[Any]:
    await port.open()
    try:
        yield port
    finally:
        await port.close()


async def in_thread(work: Callable[..., Any], *args: Any) -> Any:
    async with asyncio.timeout(10):
        return await asyncio.to_thread(work, *args)


def query(path: Path, command: bytes, size: int = len(VOLTAGES), timeout_s: float = 2.0) -> bytes:
    with serial.Serial(str(path), timeout=timeout_s, exclusive=True) as port:
        port.write(command)
        return bytes(port.read(size))


def read_all(path: Path, size: int) -> bytes:
    """Reads without the flush of pyserial's open."""
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    data = b""
    while len(data) < size:
        data += os.read(fd, 4096)
    os.close(fd)
    return data


class Spout(SerialCore):
    """Has much to say, and counts how much was taken."""

    def __init__(self, total: int) -> None:
        super().__init__()
        self._output += bytes(range(256)) * (total // 256)

    def receive(self, data: bytes) -> None:
        self.on_output()


async def test_a_port_survives_its_clients_and_vanishes_when_closed(tmp_path: Path) -> None:
    path = tmp_path / "epc"
    async with opened(PtyPort(Epc400(), path)):
        for _ in range(3):
            assert await in_thread(query, path, b"V?\r\n") == VOLTAGES
    assert not path.is_symlink()


async def test_nothing_is_echoed_to_the_instrument(tmp_path: Path) -> None:
    heard = bytearray()

    class Listener(Epc400):
        def receive(self, data: bytes) -> None:
            heard.extend(data)
            super().receive(data)

    path = tmp_path / "epc"
    async with opened(PtyPort(Listener(), path)):
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        os.write(fd, b"V?\r\n")
        assert await in_thread(os.read, fd, 100) == VOLTAGES
        os.close(fd)
    assert heard == b"V?\r\n"


async def test_a_slow_reader_holds_the_output_back_and_loses_nothing(tmp_path: Path) -> None:
    core = Spout(1 << 18)
    async with opened(PtyPort(core, tmp_path / "p")) as port:
        assert core.backlog_bytes > 0
        data = await in_thread(read_all, port.path, 1 << 18)
    assert data == bytes(range(256)) * (1 << 10)


async def test_baud_pacing_limits_the_rate(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with opened(PtyPort(Spout(1024), tmp_path / "p", baud=38400)) as port:
        began = loop.time()
        with serial.Serial(str(port.path), timeout=5) as client:
            assert len(await in_thread(client.read, 1024)) == 1024
        assert loop.time() - began > 0.8 * 1024 * 10 / 38400


async def test_a_cut_port_is_gone_and_comes_back_at_the_same_path(tmp_path: Path) -> None:
    path = tmp_path / "epc"
    async with opened(PtyPort(Epc400(), path)) as port:
        with serial.Serial(str(path), timeout=2) as client:
            await port.wire.apply("cut")
            assert not path.is_symlink()
            with pytest.raises(serial.SerialException):
                client.read(1)
        await port.wire.apply("restore")
        assert await in_thread(query, path, b"V?\r\n") == VOLTAGES


@pytest.mark.parametrize(
    ("fault", "options", "answer"),
    [
        ("silence", {}, b""),
        ("truncate", {"size": 9}, VOLTAGES[:9]),
        ("slip", {"size": 2}, VOLTAGES[2:]),
        ("garble", {"size": 1}, bytes([VOLTAGES[0] ^ 0x55]) + VOLTAGES[1:]),
        ("unsolicited", {"text": "HELLO"}, (b"HELLO\r\n" + VOLTAGES)[: len(VOLTAGES)]),
    ],
)
async def test_faults_of_a_pty(
    tmp_path: Path, fault: str, options: dict[str, Any], answer: bytes
) -> None:
    path = tmp_path / "epc"
    async with opened(PtyPort(Epc400(), path)) as port:
        with serial.Serial(str(path), timeout=0.3) as client:
            await port.wire.apply(fault, **options)
            client.write(b"V?\r\n")
            assert await in_thread(client.read, len(VOLTAGES)) == answer
            await port.wire.apply("restore")
            client.reset_input_buffer()
            client.write(b"V?\r\n")
            assert await in_thread(client.read, len(VOLTAGES)) == VOLTAGES


async def test_a_late_answer_comes_after_the_delay(tmp_path: Path) -> None:
    path = tmp_path / "epc"
    async with opened(PtyPort(Epc400(), path)) as port:
        await port.wire.apply("delay", delay_s=0.3)
        with serial.Serial(str(path), timeout=0.1) as client:
            client.write(b"V?\r\n")
            assert await in_thread(client.read, 1) == b""
            client.timeout = 5
            assert await in_thread(client.read, len(VOLTAGES)) == VOLTAGES


async def test_delayed_output_longer_than_the_terminals_buffer_arrives_whole(
    tmp_path: Path,
) -> None:
    async with opened(PtyPort(Spout(0), tmp_path / "p")) as port:
        await port.wire.apply("delay", delay_s=0.01)
        reading = asyncio.ensure_future(in_thread(read_all, port.path, 1 << 18))
        port._session._emit(bytes(range(256)) * (1 << 10))
        assert await reading == bytes(range(256)) * (1 << 10)


async def test_a_connection_may_drop_in_the_middle_of_an_answer() -> None:
    async with opened(TcpPort(Itc4000("M1").session)) as port:
        await port.wire.apply("hang_up", size=4)
        for answer in (b"Thor", b"Thorlabs,ITC4001,M1,1.8.0\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
            writer.write(b"*IDN?\n")
            assert await reader.readexactly(len(answer)) == answer
            if answer == b"Thor":
                with suppress(ConnectionResetError):
                    assert await reader.read(1) == b""
            writer.close()


async def test_several_tcp_clients_each_get_their_own_answers() -> None:
    async with opened(TcpPort(Itc4000("M1").session)) as port:
        streams = [await asyncio.open_connection("127.0.0.1", port.port) for _ in range(3)]
        for i, (_, writer) in enumerate(streams):
            writer.write(b"*IDN?\n" if i % 2 else b"*OPC?\n")
        for i, (reader, writer) in enumerate(streams):
            line = await reader.readline()
            assert line.startswith(b"Thorlabs" if i % 2 else b"1")
            writer.close()


SOCKETS: dict[str, tuple[Callable[[Wire], Any], bytes]] = {
    # Each with what makes it a connection that counts.
    "tcp": (lambda wire: TcpPort(Itc4000("M1").session, wire), b""),
    "hislip": (lambda wire: HislipPort(Itc4000("M1"), wire), b"HS\0\0" + bytes(12)),
    "zmtp": (lambda wire: ZmtpPort(Id900("T1"), wire), b""),
    "two-tcp": (lambda wire: TwoPorts(WebSq().session, WebSq().counts_session, wire), b""),
}


def test_every_socket_is_tried_in_its_silence() -> None:
    assert SOCKETS.keys() == set(FAULTS["idle"].fronts)


@pytest.mark.parametrize("front", SOCKETS)
async def test_a_connection_that_was_silent_before_the_fault_is_dropped_too(front: str) -> None:
    """Not only one that falls silent after it."""
    make, hello = SOCKETS[front]
    wire = Wire()
    async with opened(make(wire)) as port:
        number = re.search(r"[:,](\d+)(::INSTR|\?|$)", port.address)
        assert number is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", int(number[1]))
        writer.write(hello)
        await reader.readexactly(len(hello))
        await wire.apply("idle", delay_s=0.01)
        async with asyncio.timeout(10):
            with suppress(ConnectionResetError):
                assert await reader.read(1) == b""
        writer.close()


async def test_a_connection_on_which_something_passes_is_not_silent() -> None:
    """Whichever way: lines of counts keep the connection of a client that never says a thing."""
    core = WebSq()
    async with opened(TcpPort(core.counts_session)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        await port.wire.apply("idle", delay_s=1.0)
        for number in range(1, 13):
            core.advance(number * 10**11)
            assert (await reader.readline()).endswith(b"\n")
            await asyncio.sleep(0.1)
        async with asyncio.timeout(10):
            with suppress(ConnectionResetError):
                assert await reader.read(1) == b""
        writer.close()


async def test_a_cut_socket_resets_and_a_refused_one_cannot_be_opened() -> None:
    async with opened(TcpPort(Itc4000("M1").session)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        await port.wire.apply("cut")
        with suppress(ConnectionResetError):
            assert await reader.read(1) == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port.port)
        await port.wire.apply("restore")
        _, again = await asyncio.open_connection("127.0.0.1", port.port)
        for stream in (again, writer):
            stream.close()


def visa(port: int, work: Callable[[Any], Any]) -> Any:
    manager = pyvisa.ResourceManager("@py")
    try:
        resource = manager.open_resource(f"TCPIP::127.0.0.1::hislip0,{port}::INSTR")
        resource.timeout = 2000
        resource.read_termination = "\n"
        try:
            return work(resource)
        finally:
            resource.close()
    finally:
        manager.close()


async def test_pyvisa_talks_hislip() -> None:
    def work(resource: Any) -> None:
        assert resource.query("*IDN?").startswith("Thorlabs,ITC4001,")
        resource.write("SOUR:CURR:LIM 0.2")
        assert float(resource.query("SOUR:CURR? MAX")) == 0.2
        resource.write("FOO")
        assert resource.read_stb() & 4
        resource.clear()
        assert resource.query("SYST:ERR?").startswith("-113,")

    async with opened(HislipPort(Itc4000("M1"))) as port:
        await in_thread(visa, port.port, work)


async def test_a_late_hislip_answer_is_not_taken_for_the_next_one() -> None:
    loop = asyncio.get_running_loop()

    def work(resource: Any) -> str:
        def fault(name: str) -> None:
            asyncio.run_coroutine_threadsafe(port.wire.apply(name, delay_s=0.4), loop).result(5)

        resource.timeout = 100
        fault("delay")
        with pytest.raises(pyvisa.errors.VisaIOError):
            resource.query("*IDN?")
        fault("restore")
        resource.timeout = 3000
        return str(resource.query("*OPC?"))

    async with opened(HislipPort(Itc4000("M1"))) as port:
        assert await in_thread(visa, port.port, work) == "1"


async def test_hislip_refuses_strangers() -> None:
    async with opened(HislipPort(Itc4000("M1"))) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        writer.write(b"*IDN?\n" * 4)
        assert await reader.read(1) == b""
        writer.close()
