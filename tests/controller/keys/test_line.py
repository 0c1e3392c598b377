"""A line gives each byte once, wherever it is taken, knows what is left, and keeps nothing else."""

import gc
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qkd_controller.keys import line as line_module
from qkd_controller.keys.errors import InsufficientKey, KeyNotFound, PadReused
from qkd_controller.keys.line import SECRET_BYTES, ByteLine
from qkd_controller.keys.link_store import SqliteLinkStore
from qkd_controller.keys.store import KeyStore

ACTS = st.lists(
    st.tuples(
        st.sampled_from(["append", "join", "take", "next", "skip"]),
        st.integers(0, 3000),
        st.integers(1, 1500),
    ),
    max_size=12,
)


@contextmanager
def undone(store: KeyStore) -> Iterator[sqlite3.Connection]:
    """A transaction that leaves nothing behind."""

    class Undo(Exception):
        pass

    try:
        with store.transaction() as connection:
            yield connection
            raise Undo
    except Undo:
        pass


def bytes_by_secret(connection: sqlite3.Connection) -> tuple[int, int]:
    """Of all secrets: the bytes that a piece holds, and those not zero that none does."""
    held = stray = 0
    for secret, content in connection.execute("SELECT id, bytes FROM secret").fetchall():
        left = bytearray(content)
        pieces = connection.execute("SELECT place, length FROM piece WHERE secret = ?", (secret,))
        for place, length in pieces.fetchall():
            left[place : place + length] = bytes(length)
            held += length
        assert held, "a secret that no piece is left of"
        stray += len(left) - left.count(0)
    return held, stray


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(acts=ACTS, secret_bytes=st.sampled_from([100, 512, SECRET_BYTES]))
def test_a_line_is_its_model(
    alice_store: KeyStore,
    alice: SqliteLinkStore,
    acts: list[tuple[str, int, int]],
    secret_bytes: int,
) -> None:
    with pytest.MonkeyPatch.context() as patch, undone(alice_store) as connection:
        patch.setattr(line_module, "SECRET_BYTES", secret_bytes)
        connection.execute("DELETE FROM line")
        link = connection.execute("SELECT id FROM link").fetchone()[0]
        line = ByteLine.create(connection, link, "half0")
        model: list[int | None] = []
        cursor = 0
        for act, place, length in acts:
            if act in ("append", "join"):
                data = bytes((place + 7 * i + i // 251) % 255 + 1 for i in range(length))
                added = line if act == "append" else ByteLine.create(connection, link, "apart")
                added.append(memoryview(data))
                if act == "join":
                    line.join(added)
                model += data
            elif act == "take":
                wanted = model[place : place + length]
                try:
                    assert line.take(place, length) == bytes(wanted)  # type: ignore[arg-type]
                    model[place : place + length] = [None] * length
                except KeyNotFound:
                    assert len(wanted) < length or None in wanted
            elif act == "skip":
                try:
                    line.skip_to(place)
                    model[cursor:place] = [None] * (place - cursor)
                    cursor = place
                except PadReused:
                    assert place < cursor
                except InsufficientKey:
                    assert place > len(model)
            elif None not in model[cursor : cursor + length]:
                # Lines that are spent in order have no holes after their cursor.
                try:
                    at, taken = line.take_next(length)
                    assert (at, taken) == (cursor, bytes(model[at : at + length]))  # type: ignore[arg-type]
                    model[at : at + length] = [None] * length
                    cursor += length
                except InsufficientKey:
                    assert cursor + length > len(model)
            left = sum(byte is not None for byte in model)
            assert line.remaining_bytes() == left
            assert (line.cursor, line.end) == (cursor, len(model))
            assert bytes_by_secret(connection) == (left, 0)


def test_a_line_that_is_deleted_leaves_no_secret(
    alice_store: KeyStore, alice: SqliteLinkStore
) -> None:
    with undone(alice_store) as connection:
        connection.execute("DELETE FROM link")
        assert connection.execute("SELECT count(*) FROM secret").fetchone() == (0,)


def test_taking_leaves_nothing_in_memory(alice: SqliteLinkStore) -> None:
    """A node takes bytes for years."""

    def take(times: int) -> int:
        for _ in range(times):
            with alice.line("pad0", wipes=True) as line:
                line.take_next(8)
        gc.collect()
        return len(gc.get_objects())

    held = take(20)
    assert take(100) < held + 20
