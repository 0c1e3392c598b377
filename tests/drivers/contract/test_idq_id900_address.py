"""What the address of a time controller says, and who is found there."""

import asyncio
from typing import Any

import bench as lab
import pytest
import zmq
import zmq.asyncio
from bench import Bench

from qkd_drivers.catalogue import open_device
from qkd_drivers.contract import Quality
from qkd_drivers.errors import (
    DeviceError,
    DeviceMismatch,
    DeviceRefused,
)
from qkd_drivers.framing import TraceEntry
from qkd_drivers.models.idq_id900 import IdqId900
from qkd_drivers.scan import host_places, look
from qkd_drivers.transports.zeromq import ZeromqSocket


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("record_s=0.1", r"0\.2 or more"),
        ("integration=us", "ps or ns"),
        ("delays_ps=1,2", "four delays"),
        ("disorder_ps=-1", "want 0 to 100000000"),
        ("numbered=maybe", "yes or no"),
        ("stream_port=x", "invalid literal"),
        ("service=host", "zeromq:host:port"),
    ],
)
def test_a_wrong_option_of_the_address_is_named(option: str, complaint: str) -> None:
    """Before anything is connected."""
    with pytest.raises(ValueError, match=complaint):
        IdqId900(f"zeromq:10.0.0.1:5555?{option}", "tagger")


async def test_an_address_without_a_service_names_it(bench: Bench) -> None:
    """The box answers; the service on the host was never started."""
    core = lab.id900()
    address, _ = await bench.plug(core, front="zmtp")
    box = address.partition("?")[0]
    tagger = await open_device("idq-id900", f"{box}?service=127.0.0.1:1", "tagger")
    assert isinstance(tagger, IdqId900)
    with pytest.raises(DeviceRefused, match="its service"):
        await tagger.configure()
    await tagger.close()


async def test_another_instrument_at_the_address_is_named() -> None:
    """Something else that answers over ZeroMQ."""
    context = zmq.asyncio.Context()
    server = context.socket(zmq.REP)
    port = server.bind_to_random_port("tcp://127.0.0.1")

    async def answer() -> None:
        while True:
            await server.recv()
            await server.send(b"Acme,Toaster,1,2")

    answering = asyncio.create_task(answer())
    with pytest.raises(DeviceMismatch, match="Toaster"):
        await open_device("idq-id900", f"zeromq:127.0.0.1:{port}", "tagger")
    answering.cancel()
    await asyncio.wait({answering})
    context.destroy(linger=0)


async def test_box_and_service_are_asked_without_numbers_if_told_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are doubtful alike."""
    numbered: list[bool] = []
    made = ZeromqSocket.__init__

    def noted(socket: ZeromqSocket, *args: Any, **options: Any) -> None:
        numbered.append(options["numbered"])
        made(socket, *args, **options)

    monkeypatch.setattr(ZeromqSocket, "__init__", noted)
    address, _ = await bench.plug(lab.id900(), front="zmtp")
    tagger = await open_device("idq-id900", f"{address}&numbered=no", "tagger")
    assert isinstance(tagger, IdqId900)
    run = await tagger.start_run(0.2)
    assert [tags async for tags in run] == []
    assert run.verdict is not None and run.verdict.quality is Quality.CLEAN
    assert numbered == [False, False]
    await tagger.close()


async def test_an_id1000_is_welcome(bench: Bench) -> None:
    """The two models speak one language."""
    core = lab.id900()
    core.identity = "IDQuantique,ID1000,T1000-2,2.0"
    address, _ = await bench.plug(core, front="zmtp")
    tagger = await open_device("idq-id900", address, "tagger")
    assert tagger.identity.model == "ID1000" and tagger.identity.serial_number == "T1000-2"
    await tagger.close()


async def test_a_scan_of_its_host_finds_it(bench: Bench) -> None:
    """Without its service, which may not have been started yet."""
    address, _ = await bench.plug(lab.id900(), front="zmtp")
    box = address.removeprefix("zeromq:").partition("?")[0]
    (place,) = host_places([box])
    (found,) = await look(place, patience_s=10)
    assert found.model is not None and found.model.name == "idq-id900"
    assert found.address == f"zeromq:{box}"
    assert "zeromq:10.0.0.9:5555" in [place.name for place in host_places(["10.0.0.9"])]


async def test_requests_of_box_and_service_are_traced(bench: Bench) -> None:
    """Both conversations go to the trace, each under its own name."""
    trace: list[TraceEntry] = []
    address, wire = await bench.plug(lab.id900(), front="zmtp")
    tagger = await open_device("idq-id900", address, "tagger", trace.append)
    assert isinstance(tagger, IdqId900)
    await tagger.configure()
    assert {entry.device for entry in trace} == {"tagger", "tagger: its service"}
    await wire.apply("cut")
    with pytest.raises(DeviceError):
        await tagger.configure()
    assert trace[-1].direction == "!"
    await tagger.close()
