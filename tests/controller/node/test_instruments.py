"""Light is the last to go on at a link end and the first to go off, whatever emits it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from actors import DETECTOR, EPC, HEAD, LASER, SOURCE
from hypothesis import given
from hypothesis import strategies as st

from qkd_controller.config.node import Device, LinkEnd
from qkd_controller.devices import DeviceActor
from qkd_controller.devices.kinds import LIGHT_KINDS
from qkd_controller.node.instruments import Instruments


def device(name: str, kind: str, model: str, address: str, set_points: Any) -> Device:
    return Device(name=name, kind=kind, model=model, address=address, set_points=set_points)


DEVICES = [
    device("head", "laser_head", "cobolt-06", "serial:/dev/a", HEAD),
    device("tagger", "tagger", "s15-tdc1", "serial:/dev/b", {}),
    device("detector", "detector", "s15-spd", "serial:/dev/c", DETECTOR),
    device("diode", "laser", "srs-ldc500", "tcp:localhost:1", LASER),
    device("plates", "polarisation_controller", "oz-epc400", "serial:/dev/d", EPC),
    device("source", "pair_source", "qubitekk-qes", "serial:/dev/e", SOURCE),
]
LIGHTS = {each.name for each in DEVICES if each.kind in LIGHT_KINDS}


def instruments(devices: list[Device], latches: Path) -> Instruments:
    end = LinkEnd(link_file="", address="", channels=(), devices=tuple(devices))
    return Instruments(end, lambda change: None, latches)


def test_a_light_of_each_kind_is_tried() -> None:
    assert {"laser", "laser_head", "pair_source"} == LIGHT_KINDS
    assert {each.kind for each in DEVICES} >= LIGHT_KINDS


@given(st.permutations(DEVICES))
def test_each_light_waits_for_all_that_emit_none(devices: list[Device]) -> None:
    actors = instruments(devices, Path("never-written")).actors
    dark = {name for name in actors if name not in LIGHTS}
    for name, actor in actors.items():
        assert {other.name for other in actor._after} == (dark if name in LIGHTS else set())


@given(st.permutations(DEVICES))
def test_all_light_is_off_before_anything_else_is_brought_to_rest(devices: list[Device]) -> None:
    rested: list[str] = []

    async def rest(actor: DeviceActor) -> None:
        rested.append(actor.name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DeviceActor, "shutdown", rest)
        asyncio.run(instruments(devices, Path("never-written")).shutdown())
    assert set(rested[: len(LIGHTS)]) == LIGHTS and len(rested) == len(devices)


def test_each_device_has_a_latch_of_its_own(tmp_path: Path) -> None:
    """Whatever it is called."""
    odd = [
        device(name, "laser_head", "cobolt-06", f"serial:/dev/{n}", HEAD)
        for n, name in enumerate(("pump", "../pump", "a/b", ".", "Pümpe"))
    ]
    for actor in instruments(odd, tmp_path / "latches").actors.values():
        actor._latch.hold(f"{actor.name} tripped")
    for actor in instruments(odd, tmp_path / "latches").actors.values():
        assert actor._latch.trip == f"{actor.name} tripped"
    assert {path.suffix for path in (tmp_path / "latches").iterdir()} == {".json"}
