"""What holds for every instrument, over every wire it can hang on."""

import asyncio
import os
import termios
from pathlib import Path

import bench as lab
import pytest
from agreement import agreeing_models
from bench import Bench, arrival, eventually
from relatives import another

from qkd_drivers.catalogue import OWN, make_device, open_device
from qkd_drivers.contract import Instrument, TimeTagger
from qkd_drivers.errors import DeviceError, DeviceMismatch, DeviceTimeout
from qkd_drivers.framing import TraceEntry, Wire
from qkd_firmware_sim.registry import SIMULATED

IDENTITIES = {
    "s15-tdc1": "TDC1",
    "s15-spd": "SPD",
    "s15-spdc": "SPDCSDR",
    "s15-spdc-source": "SPDCSDR",
    "oz-epc400": "EPC-400 (4 channels)",
    "thorlabs-itc4000": "ITC4001",
    "idq-id120": "ID120",
    "single-quantum-websq": "WebSQ (4 channels)",
    "idq-id900": "ID900",
    "srs-ldc500": "LDC501",
    "keysight-33500": "33522B",
    "thorlabs-pm100d": "PM100D",
    "thorlabs-ell14": "ELL14",
    "thorlabs-k10cr1": "K10CR1",
    "thorlabs-mpc320": "MPC320",
    "cobolt-06": "0405-06-01-0120-100",
    "oz-dd100": "DD-100-MC (up to 60 dB)",
    "qc-9530": "9530",
    "srs-fs725": "PRS10",
    "jdsu-ha9": "HA9 (1200 to 1650 nm)",
    "coherent-obis": "OBIS 405nm 120mW C",
    "qubitekk-qes": "QES",
}
IDENTITIES |= lab.STRANGERS
WITHOUT_FIRMWARE = {"replay", "passive"} | {
    f"picoquant-{family}" for family in ("multiharp", "hydraharp", "timeharp")
}
"""Models that hang on no wire: their tests stand in modules of their own."""
CASES = [(model, front) for model, known in SIMULATED.items() for front in known.fronts]
every_instrument = pytest.mark.parametrize(
    ("model", "front"), CASES, ids=[f"{model}-{front}" for model, front in CASES]
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wire, "reply_timeout_s", 0.4)


async def ask(device: Instrument) -> None:
    """One exchange with the instrument, whatever its kind."""
    if isinstance(device, TimeTagger):
        await device.counts(0.01)
    else:
        await device.readings()


async def ask_quickly(device: Instrument) -> None:
    """One exchange that has no gate time to wait for."""
    if isinstance(device, TimeTagger):
        await device.configure()
    else:
        await device.readings()


@every_instrument
async def test_identity_is_read_on_connect(bench: Bench, model: str, front: str) -> None:
    address, _ = await bench.plug(lab.simulated(model), front=front)
    device = await open_device(model, address, "probe")
    assert device.identity.model == IDENTITIES[model]
    for reading in (await device.readings()).values():
        assert isinstance(reading.value, float | int) and reading.unit
    await device.close()
    await device.close()


@every_instrument
async def test_another_model_at_the_address_is_named(bench: Bench, model: str, front: str) -> None:
    """One that speaks the same tongue: it is refused for what it says, not for its silence."""
    core, name = another(model)
    address, _ = await bench.plug(core, front=front)
    with pytest.raises(DeviceMismatch, match=f"probe.*({name})"):
        await open_device(model, address, "probe")


@every_instrument
async def test_a_cut_wire_is_told_and_the_device_comes_back(
    bench: Bench, model: str, front: str
) -> None:
    address, wire = await bench.plug(lab.simulated(model), front=front)
    device = await open_device(model, address, "probe")
    await wire.apply("cut")
    with pytest.raises(DeviceError, match="probe"):
        await ask(device)
    await wire.apply("restore")
    await device.close()
    await device.connect()
    await ask(device)
    await device.close()


@every_instrument
async def test_a_late_reply_is_never_the_answer_to_the_next_question(
    bench: Bench, model: str, front: str
) -> None:
    address, wire = await bench.plug(lab.simulated(model), front=front)
    device = await open_device(model, address, "probe")
    await wire.apply("delay", delay_s=0.6)
    with pytest.raises(DeviceTimeout):
        await ask_quickly(device)
    await wire.apply("restore")
    await ask(device)
    await ask(device)
    await device.close()


@every_instrument
async def test_cancelling_a_request_leaves_the_device_usable(
    bench: Bench, model: str, front: str
) -> None:
    trace: list[TraceEntry] = []
    address, wire = await bench.plug(lab.simulated(model), front=front)
    device = await open_device(model, address, "probe", trace.append)
    await wire.apply("delay", delay_s=0.3)
    trace.clear()
    asking = asyncio.create_task(ask(device))
    await eventually(lambda: any(entry.direction == ">" for entry in trace))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await wire.apply("restore")
    await ask(device)
    await device.close()


@every_instrument
@pytest.mark.parametrize("fault", ["garble", "truncate"])
async def test_a_damaged_reply_is_an_error_and_the_next_one_is_whole(
    bench: Bench, model: str, front: str, fault: str
) -> None:
    address, wire = await bench.plug(lab.simulated(model), front=front)
    device = await open_device(model, address, "probe")
    await wire.apply(fault, size=1 if fault == "truncate" else 40)
    with pytest.raises(DeviceError, match="probe"):
        await ask_quickly(device)
    await wire.apply("restore")
    await ask(device)
    await device.close()


@every_instrument
async def test_an_unasked_line_is_no_answer(bench: Bench, model: str, front: str) -> None:
    if front in ("hislip", "zmtp"):
        pytest.skip("each answer belongs to its question by protocol: nothing can come unasked")
    trace: list[TraceEntry] = []
    address, wire = await bench.plug(lab.simulated(model), front=front)
    device = await open_device(model, address, "probe", trace.append)
    before = await device.readings()
    await wire.apply("unsolicited", text="4711")
    await arrival(device, b"4711\r\n")
    await ask(device)
    assert (await device.readings()).keys() == before.keys()
    assert any(entry.data == b"4711\r\n" for entry in trace)
    await device.close()


@every_instrument
async def test_nothing_at_the_address_is_told_on_connect(
    bench: Bench, model: str, front: str
) -> None:
    address, wire = await bench.plug(lab.simulated(model), front=front)
    await wire.apply("cut")
    with pytest.raises(DeviceError, match=r"probe: connect"):
        await open_device(model, address, "probe")


def test_every_model_that_can_be_driven_is_simulated_and_of_its_kind() -> None:
    for model in OWN:
        if model.name not in WITHOUT_FIRMWARE:
            assert model.name in SIMULATED and model.name in IDENTITIES
        assert getattr(model.load(), "kind", None) == model.kind


def test_every_model_is_held_to_its_instrument_by_commands_at_random() -> None:
    """By a Hypothesis test after whose every step driver and core agree; passive ones take none."""
    assert agreeing_models() >= {model.name for model in OWN} - {"passive"}


def test_an_unknown_model_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="s15-tdc1"):
        make_device("no-such", "tcp:host:1", "probe")


@pytest.mark.parametrize("model", [m for m, known in SIMULATED.items() if known.baud])
async def test_a_line_is_opened_at_the_baud_at_which_the_simulator_answers(
    model: str, bench: Bench
) -> None:
    """What either takes for the rate of the instrument as delivered."""
    address, _ = await bench.plug(lab.simulated(model))
    device = await open_device(model, address, "it")
    line = os.open(Path(address.removeprefix("serial:")), os.O_RDWR | os.O_NOCTTY)
    speeds = termios.tcgetattr(line)[4:6]
    os.close(line)
    await device.close()
    assert speeds == [getattr(termios, f"B{SIMULATED[model].baud}")] * 2
