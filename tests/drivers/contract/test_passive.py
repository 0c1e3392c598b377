"""A detector without a wire is always there, and nothing of it can be set."""

import asyncio
from pathlib import Path

import pytest

from qkd_controller.cli.main import main
from qkd_controller.cli.site import build_site
from qkd_controller.config.node import Device
from qkd_controller.devices.actor import DeviceActor
from qkd_controller.devices.set_points import validate_device
from qkd_controller.devices.state import State
from qkd_drivers.catalogue import make_device, open_device
from qkd_drivers.contract import PassiveDetector

CONFIGS = Path(__file__).parents[3] / "configs"


def section(**changes: object) -> Device:
    return Device(
        **{
            "name": "detector",
            "kind": "passive_detector",
            "model": "passive",
            "address": "channel:3",
            **changes,
        }
    )


async def test_it_connects_reads_nothing_and_closes_in_any_order() -> None:
    device = await open_device("passive", "channel:3", "detector")
    assert isinstance(device, PassiveDetector)
    assert device.identity.model == "passive detector"
    assert await device.readings() == {}
    await device.close()
    await device.close()
    await device.connect()


async def test_its_actor_is_ready_and_stays_so() -> None:
    actor = DeviceActor(section(), poll_s=0.01)
    async with asyncio.TaskGroup() as group:
        group.create_task(actor.run())
        async with asyncio.timeout(5):
            await actor.until(State.READY)
        assert actor.differences == [] and actor.readings == {}
        await actor.shutdown()
    assert actor.state is State.DISCONNECTED


@pytest.mark.parametrize("address", ["channel:", "channel:0", "channel:65", "channel:x", "3"])
def test_an_address_that_names_no_channel_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="channel"):
        make_device("passive", address, "detector")


def test_a_set_point_is_a_fault_of_the_configuration() -> None:
    assert validate_device(section()) == []
    (fault,) = validate_device(section(set_points={"bias_voltage_v": 200.0}))
    assert "detector" in fault and "no such set-point; known are none" in fault


def test_two_detectors_on_one_channel_are_a_fault_of_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alice = build_site(CONFIGS, tmp_path / "site").nodes["alice"].config
    more = "\n".join(
        f'[[links.devices]]\nname = "{name}"\nkind = "passive_detector"\nmodel = "passive"\n'
        'address = "channel:1"\n'
        for name in ("apd-1", "apd-2")
    )
    alice.write_text(alice.read_text() + more)
    assert main(["check", str(alice)]) == 1
    assert "1 is taken by" in capsys.readouterr().err
