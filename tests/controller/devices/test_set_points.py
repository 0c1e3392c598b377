"""Set-points are checked all at once, before any device is touched."""

import pytest

from qkd_controller.config.node import Device
from qkd_controller.devices import validate_device, validate_set_points
from qkd_drivers.catalogue import models


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


@pytest.mark.parametrize("voltages", [[0, 0, 0], [0, 0, 0, 5001], "0000", [0.5, 0, 0, 0]])
def test_voltages_are_four_whole_millivolts_in_range(voltages: object) -> None:
    (fault,) = validate_set_points("oz-epc400", {"voltages_mv": voltages})
    assert "voltages_mv" in fault


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
