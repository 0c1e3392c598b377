"""`qkd devices` lists, finds, shows, sets and traces; bad input is one clear line."""

import asyncio
from pathlib import Path

import pytest
from bench import running_bench, simulated

from qkd_controller.cli.devices import _change
from qkd_controller.cli.main import main
from qkd_drivers.catalogue import models, open_device
from qkd_drivers.scan import host_places, look, serial_places
from qkd_firmware_sim.registry import SIMULATED


def test_every_model_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "list"]) == 0
    told = capsys.readouterr().out
    assert all(model in told for model in models())


async def test_every_instrument_on_a_serial_port_is_known_by_its_answers(tmp_path: Path) -> None:
    serial = [name for name, simulated_ in SIMULATED.items() if "pty" in simulated_.fronts]
    async with running_bench(tmp_path) as bench:
        address = {name: (await bench.plug(simulated(name)))[0] for name in serial}
        places = serial_places([each.removeprefix("serial:") for each in address.values()])
        for model, found in zip(serial, await asyncio.gather(*map(look, places)), strict=True):
            assert found.model is not None and found.model.name == model
            assert found.address == address[model] and found.identity is not None
            # It was left as it was found: another program can open it.
            await (await open_device(model, found.address, "again")).close()


async def test_an_instrument_at_a_host_is_known_by_its_answers(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        address, _ = await bench.plug(simulated("thorlabs-itc4000"), front="tcp")
        (place,) = host_places([address.removeprefix("tcp:")])
        found = await look(place)
        assert found.model is not None and found.model.name == "thorlabs-itc4000"


async def test_a_place_without_a_known_instrument_says_why(tmp_path: Path) -> None:
    (place,) = serial_places([str(tmp_path / "ttyNONE")])
    found = await look(place)
    assert found.model is None and "no serial port" in found.cause


def test_a_scan_that_finds_nothing_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["devices", "scan", "--serial", str(tmp_path / "ttyNONE")]) == 1
    assert "ttyNONE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("temperature_c=-12.5", ("temperature_c", -12.5)),
        ("level=NIM", ("level", "NIM")),
        ('level="-0.4"', ("level", "-0.4")),
        ("voltages_mv=[0, 1, 2, 3]", ("voltages_mv", [0, 1, 2, 3])),
        ("discipline=true", ("discipline", True)),
    ],
)
def test_a_value_is_written_as_in_a_configuration(text: str, change: tuple[str, object]) -> None:
    assert _change(text) == change


def test_a_change_without_a_value_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["devices", "set", str(tmp_path / "node.toml"), "pump", "current_a"]) == 1
    assert "want KEY=VALUE" in capsys.readouterr().err
