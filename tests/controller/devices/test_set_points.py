"""Set-points are checked all at once, before any device is touched."""

import sys
from collections.abc import Mapping
from typing import ClassVar

import pytest

from qkd_controller.config.node import Device
from qkd_controller.devices import validate_device, validate_set_points
from qkd_drivers.catalogue import Model, models
from qkd_drivers.contract import Limits
from qkd_drivers.models.oz_epc400 import OzEpc400


def test_every_model_of_the_catalogue_has_set_points() -> None:
    for model in models():
        assert not any("unknown" in fault for fault in validate_set_points(model, {}))


def test_all_faults_are_told_at_once() -> None:
    faults = validate_set_points(
        "thorlabs-itc4000", {"temperature_c": "warm", "current": 0.1, "ramp_a_per_s": 0}
    )
    told = "\n".join(faults)
    for name in ("temperature_c = 'warm'", "current:", "current_a:", "current_limit_a:", "ramp"):
        assert name in told
    assert len(faults) == 5


def test_a_current_above_its_limit_is_a_fault() -> None:
    wanted = {"temperature_c": 25, "current_a": 0.2, "current_limit_a": 0.1}
    assert validate_set_points("thorlabs-itc4000", wanted) == [
        "current_a = 0.2 is above current_limit_a = 0.1"
    ]


def test_a_detector_is_never_driven_out_of_its_range() -> None:
    wanted = {"bias_voltage_v": 1e4, "threshold_v": -2.5, "temperature_c": -10}
    faults = validate_set_points("s15-spd", wanted)
    assert [fault.partition(" ")[0] for fault in faults] == ["bias_voltage_v", "threshold_v"]


@pytest.mark.parametrize(("model", "axes"), [("thorlabs-ell14", 1), ("thorlabs-mpc320", 3)])
@pytest.mark.parametrize("positions", [1, 2, 3, 4])
def test_a_rotator_has_a_position_for_each_axis(model: str, axes: int, positions: int) -> None:
    device = Device(
        name="plate",
        kind="rotator",
        model=model,
        address="serial:/dev/x",
        set_points={"positions_deg": [10.0] * positions},
    )
    told = [] if positions == axes else [f"device plate: {positions} positions_deg for {axes} axes"]
    assert validate_device(device) == told


@pytest.mark.parametrize(
    "voltages", [[0, 0, 0], [0] * 5, [0, 0, 0, 5001], "0000", [0.5, 0, 0, 0], None]
)
def test_voltages_are_whole_millivolts_in_range_one_a_channel(voltages: object) -> None:
    device = Device(
        name="epc",
        kind="polarisation_controller",
        model="oz-epc400",
        address="serial:/dev/x",
        set_points={"voltages_mv": voltages},
    )
    (fault,) = validate_device(device)
    assert "voltages_mv" in fault


RANGED = {"bias_voltage_v": 1e5, "threshold_v": -80.0, "temperature_c": -270.0}


def test_no_kind_has_a_range_that_belongs_to_a_model() -> None:
    """A detector of another make may be colder than ours, and a laser warmer."""
    assert validate_set_points("idq-id120", RANGED) == []
    assert len(validate_set_points("s15-spd", RANGED)) == 3
    hot = {"temperature_c": 150.0, "current_a": 0.1, "current_limit_a": 0.2}
    assert validate_set_points("srs-ldc500", hot) == []
    (fault,) = validate_set_points("s15-spdc", {"temperature_c": 150.0})
    assert fault == "temperature_c = 150 is outside 20 … 100"


def test_a_controller_of_another_package_may_have_three_channels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Three(OzEpc400):
        channel_count = 3
        static_limits: ClassVar[Mapping[str, Limits]] = {"voltages_mv": Limits(0, 90_000)}

    monkeypatch.setattr(sys.modules[__name__], "Three", Three, raising=False)
    three = Model(
        "acme-pc3", "polarisation_controller", "Acme PC3", ("serial",), f"{__name__}:Three"
    )
    monkeypatch.setitem(models(), three.name, three)

    def faults(*voltages_mv: int) -> list[str]:
        set_points = {"voltages_mv": list(voltages_mv)}
        section = Device(
            "pc", "polarisation_controller", three.name, "serial:/dev/x", "", set_points
        )
        return validate_device(section)

    assert faults(0, 45_000, 90_000) == []
    assert faults(0, 0, 0, 0) == ["device pc: 4 voltages_mv for 3 channels"]
    assert faults(0, 0, -1) == ["device pc: voltages_mv = -1 is outside 0 … 90000"]


def test_a_device_section_is_checked_whole() -> None:
    device = Device(name="pump", kind="tagger", model="oz-epc400", address="usb:1")
    faults = validate_device(device)
    assert len(faults) == 2 and all("device pump:" in fault for fault in faults)


def test_options_of_an_address_are_checked_by_the_driver_that_has_them() -> None:
    def faults(address: str) -> list[str]:
        device = Device(
            name="pump",
            kind="laser_head",
            model="cobolt-06",
            address=address,
            set_points={"power_w": 0.03},
        )
        return validate_device(device)

    assert faults("serial:/dev/ttyUSB0?baud=9600&current_unit=A") == []
    (fault,) = faults("serial:/dev/ttyUSB0?current_unit=kA")
    assert "device pump:" in fault and "current_unit" in fault
    (fault,) = faults("serial:/dev/ttyUSB0?home=always")
    assert "home=always" in fault


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, ""),
        ({"channel": 9}, "channel 9: channel = 9 is outside 1 … 8"),
        ({"width_s": 1e-9}, "channel 2: width_s = 1e-09 is outside"),
        ({"amplitude_v": 21.0}, "channel 2: amplitude_v = 21 is outside 2 … 20"),
    ],
)
def test_pulses_are_held_against_what_the_model_is_known_to_do(
    change: dict[str, float], told: str
) -> None:
    """Without asking it: the ranges of a 9530 are in its driver."""
    pulse = {"channel": 2, "width_s": 2e-8, "amplitude_v": 4.0} | change
    device = Device(
        name="pulser",
        kind="pulse_generator",
        model="qc-9530",
        address="tcp:10.0.0.1:2101",
        set_points={"period_s": 1e-6, "pulses": [pulse]},
    )
    faults = validate_device(device)
    assert len(faults) == bool(told) and told in "".join(faults)
