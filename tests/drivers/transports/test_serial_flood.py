"""A serial port that floods: read by a thread, and nothing of it lost, doubled or out of order."""

import asyncio
import os
import select
import threading
import tty
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from bench import eventually

from qkd_drivers.errors import DeviceLost
from qkd_drivers.transports import open_transport, serial
from qkd_drivers.transports.base import BUFFER_LIMIT_BYTES

WHOLE = np.arange(6 << 20, dtype="<u4").tobytes()  # no two words are alike


class Tap:
    """The far side of a terminal: a thread writes all that it is given, as fast as it goes."""

    def __init__(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(self.master)
        os.set_blocking(self.master, False)
        self.path = os.ttyname(slave)
        os.close(slave)
        self.sent = 0
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def pour(self, data: bytes) -> None:
        self._thread = threading.Thread(target=self._pour, args=(memoryview(data),))
        self._thread.start()

    def close(self) -> None:
        """Unplugs."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
        master, self.master = self.master, -1
        if master >= 0:
            os.close(master)

    def _pour(self, data: memoryview) -> None:
        room = select.poll()
        room.register(self.master, select.POLLOUT)
        while data and not self._ending.is_set():
            try:
                size = os.write(self.master, data[:65536])
            except BlockingIOError:
                room.poll(20)
                continue
            self.sent += size
            data = data[size:]


@pytest.fixture
def tap() -> Iterator[Tap]:
    tap = Tap()
    yield tap
    tap.close()


@pytest.fixture
def floods(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each turn of the thread brought."""
    turns: list[int] = []
    read_flood: Any = serial._read_flood

    def counted(*args: Any) -> Any:
        answer = read_flood(*args)
        turns.append(answer[0])
        return answer

    monkeypatch.setattr(serial, "_read_flood", counted)
    return turns


async def collected(port: Any, size: int) -> bytes:
    whole = bytearray()
    while len(whole) < size:
        whole += await port.read_some(timeout_s=20)
    return bytes(whole)


async def test_a_flood_arrives_whole_and_in_order(tap: Tap, floods: list[int]) -> None:
    """And what follows after a pause, when the loop reads again, as well."""
    port = await open_transport(f"serial:{tap.path}")
    for _ in range(2):
        before = len(floods)
        tap.pour(WHOLE)
        assert await collected(port, len(WHOLE)) == WHOLE
        assert sum(floods[before:]) > 1 << 20
    os.write(tap.master, b"idle\n")
    assert await port.read_until(b"\n", timeout_s=5) == b"idle\n"
    await port.close()


async def test_a_flood_that_nobody_reads_stops_its_sender(tap: Tap, floods: list[int]) -> None:
    """What is held is bounded; once it is read, the rest comes."""
    port = await open_transport(f"serial:{tap.path}")
    tap.pour(WHOLE)
    await eventually(lambda: tap.sent >= BUFFER_LIMIT_BYTES)
    steady = 0
    while steady < 5:  # looks in a row at which it had not moved
        before = tap.sent
        await asyncio.sleep(0.1)
        steady = steady + 1 if tap.sent == before else 0
    assert tap.sent < BUFFER_LIMIT_BYTES + (6 << 20)
    assert await collected(port, len(WHOLE)) == WHOLE
    await port.close()


async def test_unplugging_ends_a_flood(tap: Tap, floods: list[int]) -> None:
    """Whoever reads gets what came, and then the loss."""
    port = await open_transport(f"serial:{tap.path}")
    tap.pour(WHOLE)
    await eventually(lambda: len(floods) > 0)
    await asyncio.to_thread(tap.close)
    whole = bytearray()
    with pytest.raises(DeviceLost, match="unplugged"):
        while True:
            whole += await port.read_some(timeout_s=20)
    assert len(whole) > 4095 and WHOLE.startswith(bytes(whole))
    await port.close()


async def test_closing_ends_a_flood(tap: Tap, floods: list[int]) -> None:
    """The thread is through before the port is closed; it can be opened again."""
    port = await open_transport(f"serial:{tap.path}")
    tap.pour(WHOLE)
    await eventually(lambda: len(floods) > 0)
    await port.close()
    turns = len(floods)
    with pytest.raises(DeviceLost, match="not open"):
        await port.write(b"x")
    await port.open()
    await collected(port, 1 << 20)
    assert len(floods) > turns
    await port.close()
