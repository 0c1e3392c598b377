"""The table of both ends: whole on the narrowest usual terminal, wide or in a file."""

import io
import re

import msgspec
import pytest
from rich.console import Console

from qkd_controller.cli.table import FILE_WIDTH, make_console, status_table
from qkd_controller.node.status import BlockStatus, LinkStatus, NodeStatus

_EMPTY: dict[type, object] = {bool: True, int: 0, float: 0.0, str: ""}


def link(end: int, **fields: object) -> LinkStatus:
    """A link end with figures of the greatest width, all different from those of another end."""
    figures: dict[str, object] = {
        "name": "demo",
        "state": "synchronising",
        "cause": f"[{end}] polarisation is realigned: QBER 12.34 %",
        "singles_hz": 100_000.0 + 11_000 * end,
        "coincidences_hz": 200_000.0 + 11_000 * end,
        "car_ratio": 1000.0 + 11 * end,
        "qber_z_ratio": 0.1011 + end / 100,
        "qber_x_ratio": 0.1022 + end / 100,
        "sifted_bits_per_s": 300_000.0 + 11_000 * end,
        "efficiency_f": 1.101 + end / 100,
        "secret_bits_per_s": 400_000.0 + 11_000 * end,
        "own_key_bits": 500_000_000 + 11_000_000 * end,
        "redeemable_key_bits": 600_000_000 + 11_000_000 * end,
        "block": BlockStatus(12_340 + end, "distilling", 0.4 + end / 10),
        "blocks_released": 12_000 + end,
        "blocks_discarded": {"qber": 130 + end},
        "clock_drift_ppm": -17.123 - end,
        "alarms": (f"bias of spd-{end} is off",),
        **fields,
    }
    rest = {
        field.name: field.default if not field.required else _EMPTY.get(field.type)
        for field in msgspec.structs.fields(LinkStatus)
    }
    return LinkStatus(**{**rest, **figures})  # type: ignore[arg-type]


EXPECTED = (
    *("111.0 kcps", "122.0 kcps", "211.0 kcps", "222.0 kcps", "1011", "1022"),
    *("11.11% / 11.22%", "12.11% / 12.22%", "311.0 kbit/s", "322.0 kbit/s", "1.111", "1.121"),
    *("411.0 kbit/s", "422.0 kbit/s", "511.0 Mbit / 611.0 Mbit", "522.0 Mbit / 622.0 Mbit"),
    *("#12341 distilling", "#12342 distilling", "50%", "60%", "12001 / 131", "12002 / 132"),
    *("-18.123 ppm", "-19.123 ppm", "bias of spd-1 is off", "bias of spd-2 is off"),
    *("█████░░░░░", "██████░░░░"),
)


def nodes(*ends: LinkStatus) -> list[NodeStatus | None]:
    return [
        NodeStatus(f"n{i}", "0", 0, 0, 1, 0, 0, "", 0, (end,), []) for i, end in enumerate(ends)
    ]


def rendered(width: int, *ends: LinkStatus) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    console.print(status_table(nodes(*ends), ["n0", "n1"]))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, FILE_WIDTH, 200])
def test_every_value_of_both_ends_is_there(width: int) -> None:
    lines = rendered(width, link(1), link(2))
    text = "\n".join(lines)
    for value in EXPECTED:
        assert value in text, value
    assert all(len(line) <= width for line in lines)
    # Causes are sentences, which may take a second line.
    words = re.findall(r"\S+", text)
    for end in (1, 2):
        for word in f"[{end}] polarisation realigned:".split():
            assert word in words
    assert words.count("12.34") == 2


def test_the_longest_causes_leave_room_on_24_lines() -> None:
    """With the line of the latest key, which takes two."""
    long = "waiting for a device: " * 10
    lines = rendered(80, link(1, cause=long, alarms=(long,)), link(2, cause=long, alarms=(long,)))
    assert len(lines) <= 22


def test_a_node_that_does_not_answer_has_an_empty_column() -> None:
    console = Console(width=80, file=io.StringIO())
    console.print(status_table([*nodes(link(1)), None], ["n0", "n1"]))
    assert isinstance(console.file, io.StringIO)
    assert "n1 (no answer)" in console.file.getvalue()
    assert "111.0 kcps" in console.file.getvalue()


def test_a_file_gets_a_wide_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert make_console().width == FILE_WIDTH
    monkeypatch.setenv("COLUMNS", "90")
    assert make_console().width == 90
