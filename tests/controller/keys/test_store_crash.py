"""Whatever kills a node, and wherever: each step of its store happened whole or not at all.

One script of steps goes through everything that a link end stores. A reference run tells the
content after each step. A crashed run must show, once reopened, the content after the last step
that had returned, or after the one that was under way; and the rest of the script must then lead
to the same end.
"""

import hashlib
import os
import random
import select
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qkd_controller.config.link import LinkFile
from qkd_controller.keys.contract import AmplifiedBlock, Direction
from qkd_controller.keys.errors import StoreError
from qkd_controller.keys.link_store import SqliteLinkStore
from qkd_controller.keys.pairing import PairingSecret, import_pairing
from qkd_controller.keys.pool import KeyPool
from qkd_controller.keys.store import KeyStore

_TABLES = {"link": "id", "line": "link, name", "piece": "link, line, start", "secret": "id"}
Step = Callable[[KeyStore], Any]
DOWN = Direction.LEADER_TO_FOLLOWER
UP = Direction.FOLLOWER_TO_LEADER


@pytest.fixture
def steps(link: LinkFile, secret: PairingSecret, make_block: Callable[..., AmplifiedBlock]) -> Any:
    """What a follower does in its life."""

    def on_link(act: Callable[[SqliteLinkStore], Any]) -> Step:
        return lambda keys: act(SqliteLinkStore(keys, link.name))

    def redeem(end: SqliteLinkStore) -> None:
        # The other end of this very pool would have taken the same bytes.
        with end.line("half0", wipes=True) as line:
            line.take(130, 64)

    return [
        lambda keys: import_pairing(keys, secret, "bob"),
        on_link(lambda end: end.take_pad(UP, 40)),
        on_link(lambda end: end.take_pad(DOWN, 600)),
        on_link(lambda end: end.prepare(make_block(1))),
        on_link(lambda end: end.roll_forward(1)),
        on_link(lambda end: end.prepare(make_block(2))),
        on_link(lambda end: end.discard_prepared(2)),
        on_link(lambda end: end.move_pad_cursor(UP, 1000)),
        on_link(lambda end: end.release(make_block(3))),
        on_link(lambda end: KeyPool(end, end.own_half).allocate(3, 256, "a", "b")),
        on_link(redeem),
        on_link(lambda end: end.prepare(make_block(4))),
    ]


def content(state_dir: Path) -> str:
    """A digest of every row, but for times."""
    with KeyStore(state_dir) as keys, keys.transaction() as connection:
        rows = [
            connection.execute(f"SELECT * FROM {table} ORDER BY {key}").fetchall()
            for table, key in _TABLES.items()
        ]
        rows.append(connection.execute("SELECT link, number, state FROM block").fetchall())
        rows.append(connection.execute("SELECT pairing FROM imported_pairing").fetchall())
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def run(state_dir: Path, steps: list[Step], connection: Any, done: Callable[[], Any]) -> None:
    with KeyStore(state_dir, connection) as keys:
        for step in steps:
            step(keys)
            done()


def reference(state_dir: Path, steps: list[Step]) -> list[str]:
    contents = [content(state_dir)]
    for step in steps:
        with KeyStore(state_dir) as keys:
            step(keys)
        contents.append(content(state_dir))
    assert len(set(contents)) == len(contents)
    return contents


def failing_at(count: int, fail: Callable[[], Any]) -> type[sqlite3.Connection]:
    """A connection whose count-th statement fails instead of being executed."""
    left = count

    class Failing(sqlite3.Connection):
        def execute(self, *args: Any) -> sqlite3.Cursor:
            count_down()
            return super().execute(*args)

        def executemany(self, *args: Any) -> sqlite3.Cursor:
            count_down()
            return super().executemany(*args)

    def count_down() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            fail()

    return Failing


def crashed(state_dir: Path, steps: list[Step], connection: Any, kill_after_s: float = -1) -> int:
    """Runs the steps in a process that gets killed; returns how many had returned, or -1."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            run(state_dir, steps, connection, lambda: os.write(writer, b"."))
        finally:
            os._exit(0)
    os.close(writer)
    if kill_after_s >= 0:
        select.select([], [], [], kill_after_s)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    returned = 0
    while dots := os.read(reader, 4096):
        returned += len(dots)
    os.close(reader)
    return returned if os.WIFSIGNALED(status) else -1


def check(state_dir: Path, steps: list[Step], contents: list[str], returned: int) -> None:
    found = content(state_dir)
    assert found in contents[returned : returned + 2], f"after {returned} steps"
    with KeyStore(state_dir) as keys:
        for step in steps[contents.index(found) :]:
            step(keys)
    assert content(state_dir) == contents[-1]


def test_sigkill_at_every_statement(tmp_path: Path, steps: list[Step]) -> None:
    contents = reference(tmp_path / "reference", steps)
    kill = lambda: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
    count = 0
    while True:
        count += 1
        state_dir = tmp_path / f"{count}"
        returned = crashed(state_dir, steps, failing_at(count, kill))
        if returned < 0:
            break
        check(state_dir, steps, contents, returned)
    assert count > 100


def test_sigkill_at_any_moment(tmp_path: Path, steps: list[Step]) -> None:
    contents = reference(tmp_path / "reference", steps)
    moments = random.Random(14)
    for count in range(30):
        state_dir = tmp_path / f"{count}"
        moment = moments.uniform(0, 0.03)
        returned = crashed(state_dir, steps, sqlite3.Connection, moment)
        check(state_dir, steps, contents, len(steps) if returned < 0 else returned)


def test_an_error_at_every_statement(tmp_path: Path, steps: list[Step]) -> None:
    contents = reference(tmp_path / "reference", steps)
    fired: list[int] = []
    returned: list[int] = []
    refused = 0

    def fail() -> None:
        fired.append(count)
        raise sqlite3.OperationalError("disk I/O error")

    count = 0
    while len(fired) == count:
        count += 1
        returned.clear()
        state_dir = tmp_path / f"{count}"
        try:
            run(state_dir, steps, failing_at(count, fail), lambda: returned.append(1))
        except StoreError as error:
            refused += 1
            assert "disk I/O error" in str(error)
        check(state_dir, steps, contents, len(returned))
    assert refused > 80


def test_after_an_error_only_reopening_helps(tmp_path: Path, steps: list[Step]) -> None:
    run(tmp_path, steps[:1], sqlite3.Connection, lambda: None)
    armed = [False]

    class Failing(sqlite3.Connection):
        def execute(self, *args: Any) -> sqlite3.Cursor:
            if armed[0] and args[0] == "COMMIT":
                armed[0] = False
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(*args)

    with KeyStore(tmp_path, Failing) as keys:
        end = SqliteLinkStore(keys, "fibre-1")
        armed[0] = True
        with pytest.raises(StoreError, match="disk I/O error"):
            end.take_pad(UP, 10)
        with pytest.raises(StoreError, match="restart the node"):
            end.pad_cursor(UP)
    with KeyStore(tmp_path) as keys:
        assert SqliteLinkStore(keys, "fibre-1").pad_cursor(UP) == 0


def test_a_failed_scrub_is_repeated(tmp_path: Path, steps: list[Step]) -> None:
    run(tmp_path, steps[:1], sqlite3.Connection, lambda: None)
    armed = [False]

    class Failing(sqlite3.Connection):
        def execute(self, *args: Any) -> sqlite3.Cursor:
            if armed[0] and "checkpoint" in args[0]:
                armed[0] = False
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(*args)

    with KeyStore(tmp_path, Failing) as keys:
        end = SqliteLinkStore(keys, "fibre-1")
        armed[0] = True
        pad = bytes(end.take_pad(UP, 64)[1])
        files = [keys.directory / "keys.db", keys.directory / "keys.db-wal"]
        assert any(pad in file.read_bytes() for file in files)
        assert end.pad_cursor(UP) == 64
        assert not any(pad in file.read_bytes() for file in files)
