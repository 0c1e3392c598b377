"""The faults of PyVISA-py 0.8 as measured, one by one, and what our transport makes of each.

The first half of a test holds the library to what was measured: when one fails, the library has
changed, and a remedy in `transports/visa.py` may go.
"""

import asyncio
import contextlib
import gc
import os
import resource
import select as system
import socket
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any, TypeVar

import bench as lab
import pytest
import pyvisa
import serial
from bench import Bench, eventually
from pyvisa.constants import StatusCode
from pyvisa_py import tcpip

from qkd_drivers.errors import (
    DeviceBusy,
    DeviceError,
    DeviceLost,
    DeviceRefused,
    DeviceTimeout,
)
from qkd_drivers.framing import ScpiWire
from qkd_drivers.transports import make_transport, open_transport
from qkd_drivers.transports import serial as serial_transport

T = TypeVar("T")

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # PyVISA-py drops sockets unclosed
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What the library leaves open is closed here, not in a test that knows nothing of it."""
    yield
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()


async def in_thread(work: Callable[..., T], *arguments: Any) -> T:
    async with asyncio.timeout(20):
        return await asyncio.to_thread(work, *arguments)


@asynccontextmanager
async def pyvisa_session(name: str, timeout_s: float = 0.3) -> AsyncIterator[Any]:
    """The library itself, without our transport."""
    session: Any = await in_thread(pyvisa.ResourceManager("@py").open_resource, name)
    session.timeout = 1000 * timeout_s
    session.read_termination = session.write_termination = "\n"
    try:
        yield session
    finally:
        await in_thread(session.close)


def socket_name(address: str) -> str:
    return "TCPIP::{}::{}::SOCKET".format(*address.split(":")[1:])


def serial_name(address: str) -> str:
    return f"ASRL{address.removeprefix('serial:')}::INSTR"


def hislip_name(address: str) -> str:
    return address.removeprefix("visa:")


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def test_a_closed_port_opens() -> None:
    """The library finds out at the first write, with a bare ConnectionRefusedError."""
    name = f"TCPIP::127.0.0.1::{closed_port()}::SOCKET"
    async with pyvisa_session(name) as session:
        with pytest.raises(ConnectionRefusedError):
            await in_thread(session.write, "*IDN?")
    with pytest.raises(DeviceRefused, match="switched on"):
        await open_transport(f"visa:{name}")


async def test_a_closed_connection_is_a_timeout_that_spins(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library asks the system again and again until its timeout; ours says at once: lost."""
    address, wire = await bench.plug(lab.itc(), front="tcp")
    name = socket_name(address)
    looks: list[float] = []

    def select(*arguments: Any) -> Any:
        looks.append(time.monotonic())
        return system.select(*arguments)

    async with pyvisa_session(name) as session:
        await in_thread(session.query, "*OPC?")
        await wire.apply("cut")
        monkeypatch.setattr(tcpip, "select", SimpleNamespace(select=select))
        with pytest.raises(pyvisa.errors.VisaIOError) as caught:
            await in_thread(session.read)
        monkeypatch.undo()
    assert caught.value.error_code == StatusCode.error_timeout
    assert looks[-1] - looks[0] >= 0.2
    assert len(looks) > 100, "ten looks are enough to wait that long"
    await wire.apply("restore")
    scpi = ScpiWire(make_transport(f"visa:{name}"), "box")
    await scpi.open()
    assert await scpi.query("*OPC?") == "1"
    await wire.apply("hang_up", size=1)
    with pytest.raises(DeviceLost, match="closed the connection"):
        async with asyncio.timeout(10):
            await scpi.query("*OPC?", timeout_s=60)
    await wire.apply("restore")
    assert await scpi.query("*OPC?") == "1"
    await scpi.close()


async def test_the_first_write_after_a_close_succeeds(bench: Bench) -> None:
    """The library tells at the second one, with a bare BrokenPipeError or reset."""
    address, wire = await bench.plug(lab.itc(), front="tcp")
    name = socket_name(address)
    async with pyvisa_session(name) as session:
        await in_thread(session.query, "*OPC?")
        await wire.apply("slam")
        await wire.apply("restore")
        outcomes = []
        for _ in range(4):
            try:
                await in_thread(session.write, "*OPC?")
                outcomes.append("ok")
            except (BrokenPipeError, ConnectionResetError) as error:
                outcomes.append(type(error).__name__)
        assert {"BrokenPipeError", "ConnectionResetError"} & set(outcomes)
    transport = await open_transport(f"visa:{name}")
    await wire.apply("cut")
    with pytest.raises(DeviceLost):
        for _ in range(4):
            await transport.write(b"*OPC?\n")
    await transport.close()


async def test_a_late_reply_answers_the_next_question(bench: Bench) -> None:
    """The library is off by one from then on; ours is not."""
    address, wire = await bench.plug(lab.itc(), front="tcp")
    async with pyvisa_session(socket_name(address)) as session:
        await wire.apply("delay", delay_s=0.5)
        with pytest.raises(pyvisa.errors.VisaIOError):
            await in_thread(session.query, "*IDN?")
        await wire.apply("restore")
        session.timeout = 3000
        assert "ITC4001" in await in_thread(session.query, "*OPC?")
        assert await in_thread(session.query, "*IDN?") == "1"
    scpi = ScpiWire(make_transport(f"visa:{socket_name(address)}"), "box")
    await scpi.open()
    await wire.apply("delay", delay_s=0.5)
    with pytest.raises(DeviceTimeout):
        await scpi.query("*OPC?", timeout_s=0.1)
    await wire.apply("restore")
    assert await scpi.query("*OPC?") == "1"
    assert "ITC4001" in await scpi.query("*IDN?")
    await scpi.close()


async def test_two_threads_on_one_session_mix_their_answers_up(bench: Bench) -> None:
    """The library has no lock, and how often it goes wrong is chance; ours answers each its own."""
    address, wire = await bench.plug(lab.itc(), front="tcp")
    questions = {"*OPC?": "1", "SYST:ERR?": '+0,"No error"'}
    async with pyvisa_session(socket_name(address)) as session:
        mixed_up = threading.Event()

        def ask_on(question: str) -> None:
            while not mixed_up.is_set():
                with contextlib.suppress(pyvisa.errors.VisaIOError):
                    if session.query(question) != questions[question]:
                        mixed_up.set()

        asking = [asyncio.create_task(in_thread(ask_on, question)) for question in questions]
        try:
            await eventually(mixed_up.is_set, within_s=15)
        finally:
            mixed_up.set()
            await wire.apply("cut")  # what the other thread took away is waited for without end
            await asyncio.gather(*asking, return_exceptions=True)
            await wire.apply("restore")

    loop = asyncio.get_running_loop()
    scpi = ScpiWire(make_transport(f"visa:{socket_name(address)}"), "box")
    await scpi.open()

    def ask(question: str) -> set[str]:
        asked = (asyncio.run_coroutine_threadsafe(scpi.query(question), loop) for _ in range(50))
        return {each.result(10) for each in asked}

    answers = await asyncio.gather(*(asyncio.to_thread(ask, question) for question in questions))
    assert answers == [{right} for right in questions.values()]
    await scpi.close()


@contextmanager
def many_descriptors() -> Iterator[None]:
    """Inside, every new descriptor has a number beyond what select() can take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2048:
        pytest.skip("this system allows too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    held: list[int] = []
    try:
        while not held or held[-1] < 1030:
            held.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_descriptors_beyond_1023_break_the_library(bench: Bench) -> None:
    """It calls select(); ours tells it, and plain serial and TCP transports do not care."""
    over_tcp, _ = await bench.plug(lab.itc(), front="tcp")
    over_serial, _ = await bench.plug(lab.spd())
    with many_descriptors():
        with pytest.raises(ValueError, match="select"):
            async with pyvisa_session(socket_name(over_tcp)) as session:
                await in_thread(session.query, "*IDN?")
        visa = make_transport(f"visa:{socket_name(over_tcp)}")
        with pytest.raises(DeviceError, match="select"):
            await visa.open()
            await visa.write(b"*IDN?\n")
        await visa.close()
        for address in (over_tcp, over_serial):
            plain = await open_transport(address)
            await plain.write(b"*IDN?\n")
            assert await plain.read_until(rb"\n", timeout_s=2)
            await plain.close()


async def test_a_serial_read_takes_a_byte_at_a_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library asks pyserial for each byte: streams hang on plain serial, which takes blocks."""
    address, wire = await bench.plug(lab.spd())
    line = "x" * 1000
    async with pyvisa_session(serial_name(address), timeout_s=10) as session:
        port = session.visalib.sessions[session.session].interface
        reads: list[int] = []
        plain_read = port.read
        port.read = lambda count=1: reads.append(count) or plain_read(count)
        await wire.apply("unsolicited", text=line)
        assert await in_thread(session.read) == f"{line}\r"
        assert len(reads) >= len(line) and set(reads) == {1}
    plain = await open_transport(address)
    blocks: list[int] = []

    def read(descriptor: int, count: int) -> bytes:
        blocks.append(count)
        return os.read(descriptor, count)

    monkeypatch.setattr(serial_transport, "os", SimpleNamespace(**vars(os) | {"read": read}))
    await wire.apply("unsolicited", text=line)
    assert len(await plain.read_until(b"\n", timeout_s=5)) == len(line) + 2
    assert len(blocks) < 50 and min(blocks) > len(line)
    await plain.close()


async def test_a_serial_read_looks_at_its_deadline_only_after_each_byte(bench: Bench) -> None:
    """With a timeout of 0.3 s and a byte at 0.2 s the library waits 0.5 s; plain serial 0.3."""
    address, wire = await bench.plug(lab.spd())
    await wire.apply("silence")
    loop = asyncio.get_running_loop()
    async with pyvisa_session(serial_name(address), timeout_s=0.3) as session:
        loop.call_later(0.2, lambda: [inject(b"x") for inject in wire._injectors])
        began_s = loop.time()
        with pytest.raises(pyvisa.errors.VisaIOError):
            await in_thread(session.read)
        assert loop.time() - began_s >= 0.45
    port = await open_transport(address)
    await wire.apply("unsolicited", text="x")
    with pytest.raises(DeviceTimeout) as caught:
        await port.read_exactly(100, timeout_s=0.1)
    assert caught.value.partial == b"x\r\n"
    await port.close()


class _HeldUp:
    """A clock of whoever gets the processor only now and then."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def time(self) -> float:
        self._now_s += 0.5
        return self._now_s


async def test_a_serial_read_that_is_held_up_leaves_the_rest_of_the_line(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the next question, whose answer it becomes; ours takes the whole line away before."""
    address, wire = await bench.plug(lab.spd())
    monkeypatch.setattr("pyvisa_py.sessions.time", _HeldUp())

    async def unasked(session: Any) -> None:
        await wire.apply("unsolicited", text="42.0")
        await eventually(lambda: session.bytes_in_buffer == 6)

    async with pyvisa_session(serial_name(address)) as session:
        await unasked(session)
        with pytest.raises(pyvisa.errors.VisaIOError):
            await in_thread(session.read_raw)
        assert session.bytes_in_buffer == 5
    transport: Any = await open_transport(f"visa:{serial_name(address)}")
    await unasked(transport._session)
    await transport.take_unasked()
    assert transport._session.bytes_in_buffer == 0
    await transport.close()


async def test_unplugging_raises_the_error_of_another_library(bench: Bench) -> None:
    """The library lets pyserial's SerialException through; ours is DeviceLost."""
    address, wire = await bench.plug(lab.spd())
    async with pyvisa_session(serial_name(address)) as session:
        await wire.apply("cut")
        with pytest.raises(serial.SerialException):
            await in_thread(session.read)
    await wire.apply("restore")
    transport = await open_transport(f"visa:{serial_name(address)}")
    await wire.apply("cut")
    with pytest.raises(DeviceLost):
        await transport.read_until(b"\n", timeout_s=0.5)
    await transport.close()


async def test_a_serial_port_opens_twice(bench: Bench) -> None:
    """The library takes no lock; ours takes the one that the serial transport takes."""
    address, _ = await bench.plug(lab.spd())
    async with pyvisa_session(serial_name(address)), pyvisa_session(serial_name(address)):
        pass
    for first, second in ((address, f"visa:{serial_name(address)}"),) * 2:
        held = await open_transport(first)
        with pytest.raises(DeviceBusy, match="another program"):
            await open_transport(second)
        await held.close()
        held = await open_transport(second)
        with pytest.raises(DeviceBusy, match="another program"):
            await open_transport(first)
        await held.close()


async def test_hislip_drops_late_answers_and_has_no_locks(bench: Bench) -> None:
    """The one resource whose answers carry a number; a lock is not supported."""
    address, wire = await bench.plug(lab.itc(), front="hislip")
    async with pyvisa_session(hislip_name(address)) as session:
        with pytest.raises(pyvisa.errors.VisaIOError) as caught:
            await in_thread(session.lock_excl)
        assert caught.value.error_code == StatusCode.error_nonsupported_operation
        await wire.apply("delay", delay_s=0.5)
        with pytest.raises(pyvisa.errors.VisaIOError):
            await in_thread(session.query, "*IDN?")
        await wire.apply("restore")
        session.timeout = 3000
        assert await in_thread(session.query, "*OPC?") == "1"
        await in_thread(session.write, "NONSENSE")
        assert await in_thread(session.read_stb) & 4, "the error queue holds something"
        await in_thread(session.clear)
        assert await in_thread(session.query, "*OPC?") == "1"


async def test_events_are_not_implemented(bench: Bench) -> None:
    """No service requests from this library: our drivers poll."""
    address, _ = await bench.plug(lab.itc(), front="hislip")
    async with pyvisa_session(hislip_name(address)) as session:
        event = pyvisa.constants.EventType.service_request
        with pytest.raises((NotImplementedError, pyvisa.errors.VisaIOError)):
            await in_thread(session.enable_event, event, pyvisa.constants.EventMechanism.queue)


async def test_a_call_cannot_be_cancelled(bench: Bench) -> None:
    """The library's thread goes on to its timeout; ours returns at once and the thread ends."""
    address, wire = await bench.plug(lab.itc(), front="tcp")
    await wire.apply("silence")
    before = set(threading.enumerate())

    def at_work() -> bool:
        fresh = set(threading.enumerate()) - before
        return any(thread.name.startswith("visa") for thread in fresh)

    transport = await open_transport(f"visa:{socket_name(address)}")
    await transport.write(b"*IDN?\n")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await transport.read_until(b"\n", timeout_s=0.5)
    assert at_work()
    await eventually(lambda: not at_work())


async def test_closed_sessions_stay_listed(bench: Bench) -> None:
    """The library remembers each session that it ever opened; ours is forgotten."""
    address, _ = await bench.plug(lab.itc(), front="hislip")
    library: Any = pyvisa.ResourceManager("@py").visalib
    before = set(library.sessions)
    async with pyvisa_session(hislip_name(address)) as session:
        handle = session.session
    assert set(library.sessions) - before == {handle}
    for _ in range(3):
        transport = await open_transport(address)
        opened = set(library.sessions) - before - {handle}
        assert len(opened) == 1
        await transport.close()
        await eventually(lambda opened=opened: not opened & set(library.sessions))
    assert not opened & (set(library._last_status_in_session) | set(library.handlers))
