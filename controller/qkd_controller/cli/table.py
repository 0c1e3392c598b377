"""A node's status as a table for the terminal; shared by `qkd status` and the demo."""

import os
from collections.abc import Callable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from qkd_controller.node.status import LinkStatus, NodeStatus

FILE_WIDTH = 120
"""Of a table that goes to a file or a pipe, which have no width of their own."""

OF_THIS_MOMENT_S = 5.0
"""How old a reading may be before its age is told; a device is asked every second."""

_SENTENCE_WIDTH = 44  # two lines of a cell where two columns share an 80-column terminal
STATE_STYLE = {"keying": "bold green", "alarm": "bold red", "down": "red"}


def make_console() -> Console:
    """Standard output, as wide as its terminal."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = FILE_WIDTH
    return console


def status_table(nodes: list[NodeStatus | None], names: list[str]) -> Table:
    """A column a link end, a row a figure; a node that does not answer has an empty column.

    Two link ends fit an 80-column terminal of 24 lines.
    """
    columns: list[tuple[str, LinkStatus | None]] = []
    for name, node in zip(names, nodes, strict=True):
        if node is None:
            columns.append((f"{name} (no answer)", None))
        else:
            columns += [(f"{node.node} · {link.name}", link) for link in node.links]
    table = Table(show_edge=False)
    table.add_column("", no_wrap=True)
    for heading, _ in columns:
        table.add_column(heading, justify="right")
    for label, cell in _ROWS.items():
        table.add_row(label, *("" if link is None else cell(link) for _, link in columns))
    return table


def told_reading(value: float, unit: str, utc_s: float, now_utc_s: float) -> str:
    """A reading, with its age once it is not of this moment."""
    age_s = now_utc_s - utc_s
    return f"{value:g} {unit}" + (f" ({age_s:.0f} s ago)" if age_s >= OF_THIS_MOMENT_S else "")


def _state(link: LinkStatus) -> str:
    style = STATE_STYLE.get(link.state, "yellow")
    return f"[{style}]{link.state}[/]"


def _short(text: str) -> str:
    # A cause may quote what a device or the peer said: no markup.
    shown = text if len(text) <= _SENTENCE_WIDTH else text[: _SENTENCE_WIDTH - 1] + "…"
    return escape(shown)


def _si(value: float, unit: str) -> str:
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.1f} {prefix}{unit}"
    return f"{value:.0f} {unit}"


def _optional(value: float | None, text: str) -> str:
    return "–" if value is None else text.format(value)


def _qber(link: LinkStatus) -> str:
    z, x = link.qber_z_ratio, link.qber_x_ratio
    return f"{_optional(z, '{:.2%}')} / {_optional(x, '{:.2%}')}"


def _block(link: LinkStatus) -> str:
    return f"#{link.block.number} {link.block.stage}"


def _progress(link: LinkStatus) -> str:
    filled = round(10 * min(link.block.progress_ratio, 1.0))
    return f"{'█' * filled}{'░' * (10 - filled)} {link.block.progress_ratio:4.0%}"


def _outcomes(link: LinkStatus) -> str:
    return f"{link.blocks_released} / {sum(link.blocks_discarded.values())}"


_ROWS: dict[str, Callable[[LinkStatus], str]] = {
    "link state": _state,
    "cause": lambda link: _short(link.cause),
    "singles": lambda link: _si(link.singles_hz, "cps"),
    "coincidences": lambda link: _si(link.coincidences_hz, "cps"),
    "CAR": lambda link: _optional(link.car_ratio, "{:.0f}"),
    "QBER z / x": _qber,
    "sifted rate": lambda link: _si(link.sifted_bits_per_s, "bit/s"),
    "leakage efficiency f": lambda link: _optional(link.efficiency_f, "{:.3f}"),
    "secret key rate": lambda link: _si(link.secret_bits_per_s, "bit/s"),
    "buffer own / peer's": lambda link: (
        f"{_si(link.own_key_bits, 'bit')} / {_si(link.redeemable_key_bits, 'bit')}"
    ),
    "block": _block,
    "its progress": _progress,
    "released / discarded": _outcomes,
    "clock drift": lambda link: _optional(link.clock_drift_ppm, "{:+.3f} ppm"),
    "alarms": lambda link: _short("; ".join(link.alarms)) or "none",
}
