"""``python -m benchmarks.streams``: tags of a simulated tagger in another process, into arrays.

The other process hosts the simulator's own front-end; its core gives out tags made beforehand, as
fast as the wire takes them. Here the driver of the model turns them into tags, in turn with loops
that read the same bytes and drop them. A ratio is the median of the rounds' ratios.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tty
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zmq
from benchmarks import harness

from qkd_drivers.catalogue import open_device
from qkd_drivers.contract import Quality, TimeTagger
from qkd_drivers.models.idq_id900_run import CHANNELS, PIECE_TAGS, free_port
from qkd_drivers.models.s15_tdc1 import PACE_S
from qkd_drivers.transports import ZeromqStream, open_transport
from qkd_firmware_sim.cores.id900 import Id900
from qkd_firmware_sim.cores.s15_tdc1 import Tdc1
from qkd_firmware_sim.frontends.pty import PtyPort
from qkd_firmware_sim.frontends.zmtp import ZmtpPort

ID900_RATE_HZ = 40e6
"""Over all four channels: what the frames of one sub-recording hold."""
ID900_RECORD_S = 0.2
TDC1_RATE_HZ = 10e6
TDC1_TURN_PS = (1 << 27) * 2000
_START_TDC1 = b"*RST;NIM;TIME 0;TIMESTAMP;COUNTS?\r\n"
_FRAMES_AHEAD = 2
_LOOK_S = 0.005  # a fraction of what a frame takes

Measure = Callable[[Any, str, float], Awaitable[tuple[int, float]]]
"""Reads a stream for so many seconds of the tagger's time: tags, and seconds that it took."""


def poisson_ps(rate_hz: float, duration_ps: float, seed: int) -> np.ndarray:
    """Times of a Poisson process, from 0 to duration_ps."""
    random = np.random.default_rng(seed)
    times = np.cumsum(random.exponential(1e12 / rate_hz, round(rate_hz * duration_ps / 1e12)))
    return times[times < duration_ps].astype(np.int64)


class EagerId900(Id900):
    """Hands over its sub-recordings as fast as they are taken."""

    def __init__(self) -> None:
        super().__init__("BENCH")
        self._frames = [
            poisson_ps(ID900_RATE_HZ / 4, ID900_RECORD_S * 1e12, n).astype("<u8").tobytes()
            for n in (1, 2, 3, 4)
        ]

    async def run(self) -> None:
        while True:
            record = self._record
            waiting = self.link.acquisitions.values()
            if record.start_ps is None or any(len(a.queue) >= _FRAMES_AHEAD for a in waiting):
                await asyncio.sleep(_LOOK_S)
                continue
            for number, frame in enumerate(self._frames, 1):
                self.link.deliver(number, frame)
            record.index += 1
            if record.index == record.number:
                record.start_ps = None


class EagerTdc1(Tdc1):
    """Streams one turn of its counter again and again."""

    def __init__(self) -> None:
        super().__init__("BENCH", np.random.default_rng(1))
        times = poisson_ps(TDC1_RATE_HZ, TDC1_TURN_PS, 1) // 2000
        channels = np.random.default_rng(2).integers(0, 4, len(times), np.uint32)
        self._turn = (
            (times.astype(np.uint32) << 5 | np.uint32(1) << channels).astype("<u4").tobytes()
        )
        self._at = 0

    def take(self, limit: int) -> bytes:
        if not self.streaming or self._output:
            return super().take(limit)
        data = self._turn[self._at : self._at + limit]
        self._at = (self._at + len(data)) % len(self._turn)
        return data

    async def run(self) -> None:
        while True:
            await asyncio.sleep(0.01)
            self.on_output()


async def serve(model: str, directory: Path) -> None:
    """Hosts a tagger until killed."""
    core: Any = EagerId900() if model == "idq-id900" else EagerTdc1()
    port: Any = ZmtpPort(core) if model == "idq-id900" else PtyPort(core, directory / "tagger")
    await port.open()
    print(port.address, flush=True)
    await core.run()


async def driven(model: str, address: str, duration_s: float) -> tuple[int, float]:
    """By the driver: tags in order, and the verdict on them."""
    device = await open_device(model, address, "bench")
    assert isinstance(device, TimeTagger)
    await device.configure()
    run = await device.start_run(duration_s)
    tags, began_s = 0, time.perf_counter()
    async for piece in run:
        tags += len(piece.times_ps)
    took_s = time.perf_counter() - began_s
    assert run.verdict is not None
    assert run.verdict.quality is Quality.CLEAN, run.verdict
    await device.close()
    return tags, took_s


async def library_id900(model: str, address: str, duration_s: float) -> tuple[int, float]:
    """By a thread that takes whole frames from four sockets of the ZeroMQ library."""
    del model
    return await asyncio.to_thread(_library_id900, address, duration_s)


def _library_id900(address: str, duration_s: float) -> tuple[int, float]:
    with _recording(address, duration_s) as (context, ports, records):
        poller = zmq.Poller()
        for port in ports:
            stream = context.socket(zmq.PAIR)
            stream.setsockopt(zmq.RCVHWM, 1)
            stream.connect(f"tcp://127.0.0.1:{port}")
            poller.register(stream, zmq.POLLIN)
        size, left, began_s = 0, len(ports) * records, time.perf_counter()
        while left:
            for stream, _event in poller.poll():
                size += len(stream.recv(copy=False).buffer)
                left -= 1
        return size // 8, time.perf_counter() - began_s


async def kept_id900(model: str, address: str, duration_s: float) -> tuple[int, float]:
    """By the driver's own sockets, into memory that is used again and again."""
    del model
    with _recording(address, duration_s) as (_, ports, records):
        streams = [ZeromqStream("stream", "127.0.0.1", port) for port in ports]
        for stream in streams:
            await stream.open()
        memory = memoryview(bytearray(8 * PIECE_TAGS))
        size, began_s = 0, time.perf_counter()
        for _ in range(records):
            for stream in streams:
                size += await stream.begin(timeout_s=10)
            while left := [stream for stream in streams if stream.left_bytes]:
                for stream in left:
                    await stream.read_into(memory[: stream.left_bytes], timeout_s=10)
        took_s = time.perf_counter() - began_s
        for stream in streams:
            stream.close()
        return size // 8, took_s


@contextlib.contextmanager
def _recording(
    address: str, duration_s: float
) -> Iterator[tuple["zmq.Context[zmq.Socket[bytes]]", list[int], int]]:
    """A recording that plays: the ports of its four streams, and the frames of each."""
    box, _, options = address.removeprefix("zeromq:").partition("?")
    context = zmq.Context()

    def client(at: str) -> Callable[[str], str]:
        socket = context.socket(zmq.REQ)
        socket.connect(f"tcp://{at}")

        def ask(text: str) -> str:
            socket.send_string(text)
            return str(socket.recv_string())

        return ask

    order, link = client(box), client(options.partition("=")[2])
    records = round(duration_s / ID900_RECORD_S)
    order(f"REC:STOP;ENAB ON;NUM {records}")
    ports = [free_port() for _ in CHANNELS]
    for channel, port in zip(CHANNELS, ports, strict=True):
        link(f"start-stream --address 127.0.0.1 --channel {channel} --stream-port {port}")
        order(f"RAW{channel}:SEND ON")
    order("REC:PLAY")
    yield context, ports, records
    for channel in CHANNELS:
        link(f"stop --id 127.0.0.1:{5555 + channel}")
    context.destroy(linger=0)


async def port_tdc1(model: str, address: str, duration_s: float) -> tuple[int, float]:
    """By the driver's own port, at the driver's pace, dropped as it comes."""
    del model
    wanted = round(TDC1_RATE_HZ * duration_s) * 4
    port = await open_transport(address)
    await port.write(_START_TDC1)
    size, began_s = 0, time.perf_counter()
    while size < wanted:
        size += len(await port.read_some(timeout_s=10))
        await asyncio.sleep(PACE_S)
    took_s = time.perf_counter() - began_s
    await port.write(b"ABORT\r\n")
    await port.drain()
    await port.close()
    return size // 4, took_s


async def bare_tdc1(model: str, address: str, duration_s: float) -> tuple[int, float]:
    """By a thread that blocks on the terminal, into memory that is used again and again."""
    del model
    return await asyncio.to_thread(_bare_tdc1, address.removeprefix("serial:"), duration_s)


def _bare_tdc1(path: str, duration_s: float) -> tuple[int, float]:
    wanted = round(TDC1_RATE_HZ * duration_s) * 4
    memory = bytearray(1 << 20)
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(fd)  # the driver has left it so that a read of nothing returns at once
    os.write(fd, _START_TDC1)
    size, began_s = 0, time.perf_counter()
    while size < wanted:
        size += os.readv(fd, [memory])
    took_s = time.perf_counter() - began_s
    os.write(fd, b"ABORT\r\n")
    os.close(fd)
    return size // 4, took_s


CASES: dict[str, tuple[str, float, dict[str, Measure]]] = {
    "idq-id900": (
        "4 channels of 10 MHz, frames of 16 MB, PAIR sockets",
        20.0,
        {"frames of the library": library_id900, "memory that is kept": kept_id900},
    ),
    "s15-tdc1": (
        "4 channels, 10 MHz in all, a pty",
        8.0,
        {"the driver's own port": port_tdc1, "memory that is kept, a bare loop": bare_tdc1},
    ),
}
"""By model: the stream, seconds of the tagger's time in a round, ways to read it undecoded."""


def compare(model: str, rounds: int) -> list[str]:
    """Rows of the table."""
    workload, duration_s, undecoded = CASES[model]
    measures: dict[str, Measure] = {"driver": driven, **undecoded}
    rates: dict[str, list[float]] = {name: [] for name in measures}
    with tempfile.TemporaryDirectory() as directory:
        serving = [sys.executable, "-m", "benchmarks.streams", "--serve", model, "--dir", directory]
        with subprocess.Popen(serving, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            try:
                for _ in range(rounds):
                    for name, measure in measures.items():
                        tags, took_s = asyncio.run(measure(model, address, duration_s))
                        rates[name].append(tags / took_s)
            finally:
                server.terminate()
    ours = rates.pop("driver")
    rows = []
    for name, theirs in rates.items():
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        rows.append(
            f"| {model} | {workload} | {statistics.median(ours) / 1e6:.3g} Mtag/s "
            f"| {name} | {statistics.median(theirs) / 1e6:.3g} Mtag/s | {ratio:.2f} |"
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streams", description=__doc__)
    parser.add_argument("model", nargs="*", help=f"of {', '.join(CASES)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", choices=tuple(CASES), help=argparse.SUPPRESS)
    parser.add_argument("--dir", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments.serve, arguments.dir))
        return
    print(harness.machine(), end="\n\n")
    print(
        "| model | stream | driver | undecoded, into | its rate | ratio |",
        "|---" * 6 + "|",
        sep="\n",
    )
    for model in arguments.model or CASES:
        print("\n".join(compare(model, arguments.rounds)), flush=True)


if __name__ == "__main__":
    main()
