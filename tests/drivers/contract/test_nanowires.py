"""What a driver of nanowire detectors does, against the simulated WebSQ."""

import asyncio
from typing import Any

import bench as lab
import pytest
from agreement import agreement
from bench import Bench
from direct import DirectTransport
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_controller.devices.kinds.nanowires import NanowireProcedure, NanowireSetPoints
from qkd_drivers.catalogue import make_device, open_device
from qkd_drivers.contract import NanowireDetectors
from qkd_drivers.errors import DeviceError, DeviceProtocolError, DeviceRefused
from qkd_drivers.framing import Wire

MODEL = "single-quantum-websq"
BIAS_A = (18e-6, 19e-6, 20e-6, 21e-6)
TRIGGERS_V = (0.1, 0.11, 0.12, 0.13)


async def nanowires_on(bench: Bench, options: str = "") -> tuple[NanowireDetectors, Any, Any]:
    core = lab.simulated(MODEL)
    address, wire = await bench.plug(core, front="two-tcp")
    device = await open_device(MODEL, address + options, "eos")
    assert isinstance(device, NanowireDetectors)
    return device, core, wire


async def test_set_points_are_held_and_bias_makes_the_wires_see(bench: Bench) -> None:
    eos, core, _ = await nanowires_on(bench)
    assert eos.channel_count == 4 and not await eos.enabled()
    await eos.set_triggers_v(TRIGGERS_V)
    await eos.set_bias_currents_a(BIAS_A)
    assert core.channels[0].response().efficiency == 0
    await eos.set_enabled(True)
    assert core.channels[0].response().efficiency > 0.8
    assert await eos.bias_currents_a() == pytest.approx(BIAS_A)
    assert await eos.triggers_v() == pytest.approx(TRIGGERS_V)
    assert await eos.enabled()
    assert core.currents_ua == pytest.approx([18, 19, 20, 21])
    await eos.close()


async def asked_for_rates(eos: Any, core: Any) -> "asyncio.Task[tuple[float, ...]]":
    """A request that has reached the counts port, on which nothing comes by itself."""
    core.period_ms = 10_000.0
    asking = asyncio.create_task(eos.count_rates_hz())
    await lab.eventually(
        lambda: any(session.on_output.__name__ == "_pump" for session in core._counts)
    )
    return asking


@pytest.mark.parametrize(("option", "rate_hz"), [("", 50.0), ("&counts=per_second", 500.0)])
async def test_rates_are_those_of_a_whole_period(bench: Bench, option: str, rate_hz: float) -> None:
    eos, core, _ = await nanowires_on(bench, option)
    asking = await asked_for_rates(eos, core)
    (listener,) = core._counts
    listener.emit("00.0,7,7\n1700000000.0, 500, 500,")
    listener.emit("500,500\n1700000010.0,0,0,0,0\n")
    assert await asking == (rate_hz,) * 4, "the first whole line, not the torn one before it"
    await eos.close()


async def test_readings_are_currents_and_rates_of_every_channel(bench: Bench) -> None:
    eos, _, _ = await nanowires_on(bench)
    await eos.set_bias_currents_a(BIAS_A)
    readings = await eos.readings()
    assert len(readings) == 8 and readings["rate_1_cps"].unit == "1/s"
    assert readings["bias_current_4_a"].value == pytest.approx(21e-6)
    await eos.close()


async def test_what_is_out_of_range_or_not_of_every_channel_changes_nothing(bench: Bench) -> None:
    eos, core, _ = await nanowires_on(bench)
    assert (await eos.limits())["bias_current_a"].maximum == pytest.approx(40e-6), "of the box"
    for amperes, told in (((41e-6,) * 4, "bias_current_a"), ((1e-6,) * 3, "3 values for 4")):
        with pytest.raises(ValueError, match=told):
            await eos.set_bias_currents_a(amperes)
    with pytest.raises(ValueError, match="trigger_v"):
        await eos.set_triggers_v((2.0, 0.1, 0.1, 0.1))
    assert core.currents_ua == [0.0] * 4 and core.triggers_mv == [100.0] * 4
    await eos.close()


async def test_what_the_box_complains_of_or_does_not_take_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Wire, "reply_timeout_s", 0.3)
    eos, core, _ = await nanowires_on(bench)
    with pytest.raises(DeviceRefused, match=r"eos.*CommandError.*bad command"):
        await eos._wire.set("Nonsense", "BiasCurrent", 1, bool)  # type: ignore[attr-defined]
    assert await eos.bias_currents_a() == (0.0,) * 4, "the wire is usable"
    monkeypatch.setattr(core, "_obey", lambda session, request: told(session))
    told = lambda session: session.emit("".join(map(core._told, core._labels())))  # noqa: E731
    with pytest.raises(DeviceRefused, match=r"eos.*SetAllBiasCurrents.*still holds \[0.0"):
        await eos.set_bias_currents_a(BIAS_A)
    await eos.close()


async def test_an_echo_of_a_setting_is_not_the_boxs_word(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own object comes back, with the label and the value that we told, before a box speaks
    that has not heard it."""
    monkeypatch.setattr(Wire, "reply_timeout_s", 0.5)
    eos, core, wire = await nanowires_on(bench)
    loop = asyncio.get_running_loop()

    def tell_late(session: Any, request: dict[str, Any]) -> None:
        if "request" in request:
            loop.call_later(0.05, session.emit, "".join(map(core._told, core._labels())))

    monkeypatch.setattr(core, "_obey", tell_late)
    await wire.apply("echo")
    with pytest.raises(DeviceRefused, match=r"SetAllBiasCurrents.*still holds \[0.0"):
        await eos.set_bias_currents_a(BIAS_A)
    assert await eos.bias_currents_a() == (0.0,) * 4
    await eos.close()


async def test_what_other_clients_change_is_seen_and_answers_no_question(bench: Bench) -> None:
    eos, core, _ = await nanowires_on(bench)
    other = core.session()
    for microamperes in (5.0, 6.0, 7.0):
        other.receive(
            b'{"command":"SetAllBiasCurrents","label":"BiasCurrent","value":[%f,0,0,0]}'
            % microamperes
        )
        assert await eos.triggers_v() == (0.1,) * 4
        assert (await eos.bias_currents_a())[0] == pytest.approx(microamperes * 1e-6)
    await eos.close()


async def test_a_latched_wire_is_freed_by_driving(bench: Bench) -> None:
    eos, core, _ = await nanowires_on(bench)
    await eos.set_enabled(True)
    await eos.set_bias_currents_a((30e-6, 18e-6, 18e-6, 18e-6))
    assert core.channels[0].latched and not core.channels[1].latched
    wanted = NanowireSetPoints(bias_currents_a=(18e-6,) * 4, triggers_v=(0.1,) * 4)
    procedure = NanowireProcedure(eos, wanted)
    await procedure.drive()
    assert not core.channels[0].latched and core.channels[0].response().efficiency > 0.8
    assert not any(each.differs for each in await procedure.observe())
    await procedure.rest()
    assert not core.enabled
    await eos.close()


async def test_counts_that_are_none_are_an_error_of_the_counts(
    bench: Bench,
) -> None:
    eos, core, wire = await nanowires_on(bench)
    asking = await asked_for_rates(eos, core)
    await wire.apply("unsolicited", text="1,2,3,4,five")
    with pytest.raises(DeviceProtocolError, match="eos: counts: b'five' is no time"):
        await asking
    await eos.close()


@pytest.mark.parametrize("address", ["serial:/dev/x", "tcp:host", "tcp:h:1?counts=both"])
def test_a_wrong_address_is_told(address: str) -> None:
    with pytest.raises(ValueError, match="device address"):
        make_device(MODEL, address, "eos")


class _Chopped(DirectTransport):
    """Hands over what comes in pieces of a drawn length."""

    piece = 1

    async def read_some(self, *, timeout_s: float) -> bytes:
        return await self._take(lambda: min(self.piece, len(self._buffer)), timeout_s)


@agreement(MODEL)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["bias", "trigger", "enable", "power", "other"]), st.floats(0, 1)
        ),
        max_size=10,
    ),
    piece=st.integers(1, 400),
)
@settings(max_examples=25, deadline=None)
def test_the_driver_and_the_core_agree(
    model: str, steps: list[tuple[str, float]], piece: int
) -> None:
    async def play() -> None:
        core = lab.simulated(model)
        eos: Any = make_device(model, "tcp:direct:12000", "eos")
        eos._wire.transport = transport = _Chopped(core)
        transport.piece = piece
        await eos.connect()
        for what, share in steps:
            match what:
                case "bias":
                    await eos.set_bias_currents_a((40e-6 * share, 1e-6, 2e-6, 3e-6))
                case "trigger":
                    await eos.set_triggers_v((0.1, 0.2, 2 * share - 1, 0.4))
                case "enable":
                    await eos.set_enabled(share > 0.5)
                case "power":
                    core.power_cycle()
                case "other":
                    core.session().receive(b'{"command":"DetectorEnable","value":true}')
            assert await eos.bias_currents_a() == pytest.approx([i / 1e6 for i in core.currents_ua])
            assert await eos.triggers_v() == pytest.approx([v / 1e3 for v in core.triggers_mv])
            assert await eos.enabled() == core.enabled

    asyncio.run(play())


async def test_every_fault_of_the_counts_port_names_the_device(bench: Bench) -> None:
    eos, core, wire = await nanowires_on(bench)
    asking = await asked_for_rates(eos, core)
    await wire.apply("cut")
    with pytest.raises(DeviceError, match="eos"):
        await asking
    await wire.apply("restore")
    await eos.close()
    core.period_ms = 100.0
    await eos.connect()
    assert len(await eos.count_rates_hz()) == 4
    await eos.close()
