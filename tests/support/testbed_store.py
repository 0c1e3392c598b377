"""What a node has on its disk."""

import sqlite3
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Store:
    """What a node has on its disk, read from a copy."""

    released: dict[int, float]
    """Epsilon of every released block."""
    prepared: tuple[int, ...]
    lines: dict[str, npt.NDArray[np.int16]]
    """Pads and halves of the pool, byte by byte; -1 for a byte that is spent. While a block is
    prepared, also what it will add to them."""

    @property
    def highest(self) -> int:
        return max(self.released, default=0)


def read_store(connection: sqlite3.Connection) -> Store:
    blocks = connection.execute("SELECT number, state, epsilon FROM block").fetchall()
    lines = {}
    for name, end in connection.execute("SELECT name, end FROM line"):
        line = np.full(end, -1, np.int16)
        pieces = connection.execute(
            "SELECT start, substr(bytes, place + 1, length) FROM piece"
            " JOIN secret ON secret.id = piece.secret WHERE line = ?",
            (name,),
        )
        for start, content in pieces:
            line[start : start + len(content)] = np.frombuffer(content, np.uint8)
        lines[name] = line
    return Store(
        released={n: epsilon for n, state, epsilon in blocks if state == "released"},
        prepared=tuple(n for n, state, _ in blocks if state == "prepared"),
        lines=lines,
    )


def assert_same_pools(alice: Store, bob: Store) -> None:
    """Both ends have released the same blocks and hold the same bits wherever neither spent them.

    Pads and pools are made of the same released bits, so one wrong or misplaced byte would show.
    """
    assert alice.released == bob.released
    assert alice.lines.keys() == bob.lines.keys() == {"pad0", "pad1", "half0", "half1"}
    for name, own in alice.lines.items():
        other = bob.lines[name]
        assert len(own) == len(other), f"{name} has another length at the other end"
        unspent = (own >= 0) & (other >= 0)
        assert unspent.any(), f"nothing is left of {name}"
        assert np.array_equal(own[unspent], other[unspent]), f"{name} differs"
