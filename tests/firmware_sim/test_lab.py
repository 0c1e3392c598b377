"""Lab files: good ones load, bad ones say what is wrong."""

from pathlib import Path

import pytest

from qkd_firmware_sim import actions
from qkd_firmware_sim.lab import LabError, load, parse


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = 'a'", r"Expected `int`.*\$\.seed"),
        ("sed = 1", "unknown field `sed`"),
        ("speed = 0", "speed must lie"),
        ("[[instruments]]\nname='a'\nmodel='x'", "'x' is not simulated; choose from"),
        ("[[instruments]]\nname='a b'\nmodel='s15-tdc1'", "cannot be the name"),
        ("[[instruments]]\nname='a'\nmodel='s15-spd'", "detector must be 1 to 4"),
        (
            "[[instruments]]\nname='a'\nmodel='s15-tdc1'\n[[instruments]]\nname='b'\n"
            "model='s15-tdc1'",
            "taken twice",
        ),
        (
            "[[instruments]]\nname='a'\nmodel='qubitekk-qes'\n[[instruments]]\nname='b'\n"
            "model='s15-spdc'",
            "b: its place on the table is taken twice",
        ),
        ("[[at]]\ntime_s=1\ndo='dance'", "do = 'dance': choose from attack"),
        ("[[at]]\ndo='attack'", "needs time_s"),
        ("[[at]]\ntime_s=1\ndo='attack'", "missing required field `fraction`"),
        ("seed = ", "Invalid value"),
    ],
)
def test_a_bad_lab_file_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(LabError, match=message):
        parse(text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"nowhere\.toml: No such file"):
        load(tmp_path / "nowhere.toml")


def test_events_are_the_actions_of_the_control_socket() -> None:
    lab = parse("[[at]]\ntime_s = 2.5\ndo = 'attack'\nfraction = 0.5\n")
    assert lab.events[0].time_s == 2.5
    assert lab.events[0].action == actions.Attack(0.5)


def test_help_names_every_action_and_every_fault() -> None:
    text = actions.help_text()
    for tag in actions.ACTIONS:
        assert f"  {tag} " in text
    assert "  truncate " in text
