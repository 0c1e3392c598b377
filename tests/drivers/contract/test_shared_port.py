"""Several devices on one serial port: each gets its own answers, whatever befalls the others."""

import asyncio
from typing import Any

import bench as lab
import pytest
from bench import Bench

from qkd_drivers.catalogue import make_device, open_device
from qkd_drivers.contract import Rotator
from qkd_drivers.errors import (
    DeviceError,
    DeviceNotFound,
    DeviceRefused,
    DeviceTimeout,
)
from qkd_drivers.framing import TraceEntry, Wire
from qkd_drivers.models import thorlabs_ell14

MODEL = "thorlabs-ell14"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wire, "reply_timeout_s", 0.4)


async def mounts(bench: Bench, core: Any, *seats: str) -> tuple[list[Rotator], Any]:
    address, wire = await bench.plug(core)
    devices = [await open_device(MODEL, f"{address}?bus={seat}", f"plate {seat}") for seat in seats]
    assert all(isinstance(device, Rotator) for device in devices)
    return devices, wire  # type: ignore[return-value]


async def test_devices_move_at_once_and_each_reads_its_own_angle(bench: Bench) -> None:
    core = lab.simulated(MODEL)
    plates, _ = await mounts(bench, core, "0", "1", "2")
    await asyncio.gather(*(p.move_to_deg(1, 10.0 * (i + 1)) for i, p in enumerate(plates)))
    for _ in range(5):
        read = await asyncio.gather(*(p.position_deg(1) for p in plates for _ in range(3)))
        assert read == pytest.approx([10] * 3 + [20] * 3 + [30] * 3, abs=0.01)
    assert core.angles_deg == pytest.approx((10, 20, 30), abs=0.01)
    assert len({p.identity.serial_number for p in plates}) == 3
    for plate in plates:
        await plate.close()


async def test_the_port_is_free_when_the_last_has_left(bench: Bench) -> None:
    plates, _ = await mounts(bench, lab.simulated(MODEL), "0", "1")
    address = plates[0]._wire.transport.address  # type: ignore[attr-defined]
    tagger = make_device("s15-tdc1", address, "other")
    await plates[0].close()
    assert await plates[1].position_deg(1) == 0
    with pytest.raises(DeviceError, match="held by another program"):
        await tagger.connect()
    await plates[1].close()
    with pytest.raises(DeviceTimeout):
        await tagger.connect()
    await tagger.close()


async def test_after_a_cut_one_reopens_the_port_for_all(bench: Bench) -> None:
    plates, wire = await mounts(bench, lab.simulated(MODEL), "0", "1")
    await wire.apply("cut")
    for plate in plates:
        with pytest.raises(DeviceError, match=plate.name):
            await plate.position_deg(1)
    await plates[0].close()
    with pytest.raises(DeviceNotFound):
        await plates[0].connect()
    await wire.apply("restore")
    for plate in plates:
        await plate.close()
        await plate.connect()
    assert [await plate.position_deg(1) for plate in plates] == [0, 0]
    for plate in plates:
        await plate.close()


async def test_a_question_given_up_by_one_harms_no_other(bench: Bench) -> None:
    core = lab.simulated(MODEL)
    plates, wire = await mounts(bench, core, "0", "1")
    await plates[0].move_to_deg(1, 90.0)
    await wire.apply("delay", delay_s=0.5)
    with pytest.raises(DeviceTimeout):
        await plates[0].position_deg(1)
    await wire.apply("restore")
    assert await plates[1].position_deg(1) == 0
    assert await plates[0].position_deg(1) == pytest.approx(90, abs=0.01)
    for plate in plates:
        await plate.close()


async def test_a_button_press_in_the_middle_of_a_question_is_no_answer(bench: Bench) -> None:
    core = lab.simulated(MODEL)
    trace: list[TraceEntry] = []
    address, _ = await bench.plug(core)
    plate = await open_device(MODEL, f"{address}?bus=1", "plate", trace.append)
    assert isinstance(plate, Rotator)
    receive = core.receive

    def pressed(data: bytes) -> None:
        core.press_button("1", 1000)
        core.press_button("0", 2000)
        receive(data)

    core.receive = pressed
    assert await plate.position_deg(1) == pytest.approx(360 * 1000 / 0x23000)
    assert any(b"BO000007D0" in entry.data for entry in trace)
    await plate.close()


async def test_a_status_names_what_failed_and_is_cleared(bench: Bench) -> None:
    core = lab.simulated(MODEL)
    plates, _ = await mounts(bench, core, "2")
    core.latched = True
    with pytest.raises(DeviceRefused, match=r"plate 2.*mechanical time-out"):
        await plates[0].move_to_deg(1, 90.0)
    core.latched = False
    assert core.mounts["2"].status == 0
    await plates[0].move_to_deg(1, 90.0)
    await plates[0].close()


async def test_the_driver_leaves_a_pause_between_moves(bench: Bench) -> None:
    trace: list[TraceEntry] = []
    address, _ = await bench.plug(lab.simulated(MODEL))
    plate: Any = await open_device(MODEL, address, "plate", trace.append)
    for degrees in (10.0, 20.0, 5.0):
        await plate.move_to_deg(1, degrees)
    told = [e for e in trace if b"ma" in e.data or b"PO" in e.data]
    gaps = [told[i + 1].monotonic_s - told[i].monotonic_s for i in (1, 3)]
    assert min(gaps) >= thorlabs_ell14.PAUSE_BETWEEN_MOVES_S
    await plate.close()


async def test_a_move_that_is_given_up_ends_before_the_next_question(bench: Bench) -> None:
    core = lab.simulated(MODEL)
    core._speed = 1.0
    plates, _ = await mounts(bench, core, "0")
    moving = asyncio.create_task(plates[0].move_to_deg(1, 180.0))
    await lab.eventually(lambda: core.busy)
    moving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await moving
    assert await plates[0].position_deg(1) == pytest.approx(180, abs=0.01)
    await plates[0].close()


async def test_two_speeds_on_one_port_are_refused(bench: Bench) -> None:
    plates, _ = await mounts(bench, lab.simulated(MODEL), "0")
    address = plates[0]._wire.transport.address  # type: ignore[attr-defined]
    with pytest.raises(DeviceRefused, match="9600 baud"):
        await open_device(MODEL, f"{address}?baud=19200&bus=1", "other")
    await plates[0].close()


@pytest.mark.parametrize(
    "address", ["tcp:host:1", "serial:", "serial:/dev/x?bus=G", "serial:/dev/x?bus=12"]
)
def test_a_seat_is_a_serial_port_and_a_digit(address: str) -> None:
    with pytest.raises(ValueError, match="device address"):
        make_device(MODEL, address, "plate")
