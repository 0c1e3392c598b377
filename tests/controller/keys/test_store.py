"""The store opens once, only what it can trust, and says plainly why not."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from busy import busy_threads

from qkd_controller.config.link import LinkFile
from qkd_controller.keys.contract import AmplifiedBlock, Direction, Half
from qkd_controller.keys.errors import StoreError
from qkd_controller.keys.link_store import SqliteLinkStore, open_link
from qkd_controller.keys.pairing import PairingSecret, import_pairing
from qkd_controller.keys.pool import KeyPool
from qkd_controller.keys.store import KeyStore

MakeBlock = Callable[..., AmplifiedBlock]


def test_files_and_directory_are_private(
    tmp_path: Path, alice: SqliteLinkStore, make_block: MakeBlock
) -> None:
    alice.release(make_block(1))
    directory = tmp_path / "alice" / "keys"
    assert (tmp_path / "alice").stat().st_mode & 0o777 == 0o700
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {file.name for file in directory.iterdir()} >= {"keys.db", "keys.db-wal", "lock"}
    assert {file.stat().st_mode & 0o777 for file in directory.iterdir()} == {0o600}


def test_a_second_node_on_the_same_directory_gets_one_clear_error(tmp_path: Path) -> None:
    with KeyStore(tmp_path) as store:
        with pytest.raises(StoreError, match="in use by another process"):
            KeyStore(tmp_path)
        store.close()
        KeyStore(tmp_path).close()


def test_another_process_is_kept_out(tmp_path: Path) -> None:
    with KeyStore(tmp_path):
        child = os.fork()
        if child == 0:
            try:
                KeyStore(tmp_path)
            except StoreError:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_closed_store_refuses(alice_store: KeyStore, alice: SqliteLinkStore) -> None:
    alice_store.close()
    with pytest.raises(StoreError, match="is closed"):
        alice.highest_block()


@pytest.mark.parametrize("damage", ["header", "middle", "truncated", "text"])
def test_a_damaged_file_is_one_clear_error(
    tmp_path: Path, link: LinkFile, secret: PairingSecret, make_block: MakeBlock, damage: str
) -> None:
    with KeyStore(tmp_path) as store:
        import_pairing(store, secret, "alice")
        open_link(store, link, "alice").release(make_block(1, 40_000))
    path = tmp_path / "keys" / "keys.db"
    content = bytearray(path.read_bytes())
    if damage == "header":
        content[:16] = bytes(16)
    elif damage == "middle":
        for page in range(4096, len(content), 4096):
            content[page : page + 64] = os.urandom(64)
    elif damage == "truncated":
        del content[len(content) // 2 :]
    else:
        content[:] = b"this is no database\n" * 400
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged; put no old copy back"):
        KeyStore(tmp_path)
    # The lock is free again, and the fault is the same the second time.
    with pytest.raises(StoreError, match="damaged"):
        KeyStore(tmp_path)


def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    KeyStore(tmp_path).close()
    with sqlite3.connect(tmp_path / "keys" / "keys.db") as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(StoreError, match="schema version 99"):
        KeyStore(tmp_path)


def test_a_directory_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be opened"):
        KeyStore(tmp_path / "file" / "state")


class SmallDisk(sqlite3.Connection):
    """A database that may not grow beyond 40 pages of 4 KiB."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA max_page_count=40").fetchall()


def test_a_full_disk_changes_nothing_and_stops_nothing_else(
    tmp_path: Path, link: LinkFile, secret: PairingSecret, make_block: MakeBlock
) -> None:
    with KeyStore(tmp_path, SmallDisk) as keys:
        import_pairing(keys, secret, "alice")
        store = open_link(keys, link, "alice")
        pool = KeyPool(store, Half.LEADER)
        number = 1
        with pytest.raises(StoreError, match="no space is left") as refusal:
            for number in range(1, 100):
                store.release(make_block(number, 20_000))
        assert "nothing was changed" in str(refusal.value)
        assert number > 1
        with pytest.raises(StoreError, match="no space is left"):
            store.prepare(make_block(number, 200_000))
        assert store.highest_block() == number - 1
        assert store.prepared_blocks() == ()
        assert pool.status().own_bits == (number - 1) * 8 * 9950
        # What frees space still works.
        assert store.take_pad(Direction.LEADER_TO_FOLLOWER, 500)[0] == 0
        while pool.status().own_bits:
            pool.allocate(2, 4975 * 8, "a", "b")
        with store.line("half1", wipes=True) as line:
            line.take_next(line.end)
        store.release(make_block(number, 20_000))
        assert store.is_released(number)


async def test_its_thread_waits_for_no_kernel(alice: SqliteLinkStore) -> None:
    async with busy_threads(), asyncio.timeout(20):
        assert await alice.in_thread(alice.highest_block) == 0


async def test_calls_are_run_one_at_a_time_as_they_were_asked(alice: SqliteLinkStore) -> None:
    begun, go, ran = threading.Event(), threading.Event(), []

    def first() -> None:
        begun.set()
        go.wait(20)
        ran.append(0)

    calls = [asyncio.create_task(alice.in_thread(first))]
    calls += [
        asyncio.create_task(alice.in_thread(lambda number=number: ran.append(number)))
        for number in range(1, 6)
    ]
    while not begun.is_set():
        await asyncio.sleep(0)
    calls[0].cancel()  # what has begun ends,
    calls[3].cancel()  # and what has not never begins.
    await asyncio.wait([calls[0], calls[3]])
    assert ran == []
    go.set()
    await asyncio.wait(calls)
    assert ran == [0, 1, 2, 4, 5]


async def test_closing_waits_for_what_has_begun(
    alice_store: KeyStore, alice: SqliteLinkStore, make_block: MakeBlock
) -> None:
    block = make_block(1)
    release = asyncio.create_task(alice.in_thread(lambda: alice.release(block)))
    await asyncio.sleep(0)
    alice_store.close()
    await release
    with pytest.raises(StoreError, match="is closed"):
        await alice.in_thread(alice.highest_block)
