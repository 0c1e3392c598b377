"""The file of a node's secrets: one SQLite database, one process, one writer at a time.

Whatever is taken or deleted is overwritten with zeros in the database (where it stands, or by
secure_delete) and cut out of the write-ahead log (a truncating checkpoint) before the call returns.
Neither reaches the blocks that a file system or an SSD keeps aside, so the disk itself should be
encrypted. A copy of an old database must never be put back: it would spend pads and deliver keys a
second time.
"""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from qkd_controller.keys.errors import StoreError, StoreFull

SCHEMA_VERSION = 2

T = TypeVar("T")


class KeyStore:
    """All durable secrets of one node, in ``<state_dir>/keys``; safe to share between threads.

    Raises StoreError if another process has it open, if it is damaged, or if it was written by a
    newer version. After a failed write other than on a full disk every further call raises
    StoreError: only opening it anew tells what reached the disk.
    """

    def __init__(
        self, state_dir: Path, connection: type[sqlite3.Connection] = sqlite3.Connection
    ) -> None:
        self.directory = state_dir / "keys"
        self._path = self.directory / "keys.db"
        self._mutex = threading.Lock()
        # Its own, so that no commit and no tag waits behind a kernel.
        self._thread = ThreadPoolExecutor(1, "key-store")
        self._failure = ""
        self._scrub_due = True
        self._lock_file = self._lock_directory()
        try:
            self._connection = self._open(connection)
        except BaseException:
            os.close(self._lock_file)
            raise

    def close(self) -> None:
        """Closes the file and lets another process open it; closing twice is harmless.

        What was begun in its thread is done before.
        """
        self._thread.shutdown()
        with self._mutex:
            if self._lock_file < 0:
                return
            self._failure = self._failure or f"{self._path} is closed"
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            os.close(self._lock_file)
            self._lock_file = -1

    def __enter__(self) -> "KeyStore":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Runs a call that uses the store outside the event loop, in the order of asking.

        A call that has begun ends whether its caller is cancelled or not. Raises StoreError once
        the store is closed.
        """
        if self._lock_file < 0:
            raise StoreError(self._failure)
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    @contextlib.contextmanager
    def transaction(self, wipes: bool = False) -> Iterator[sqlite3.Connection]:
        """Durable, whole or not at all; with wipes, what it deletes is gone from the files too."""
        with self._mutex:
            if self._failure:
                raise StoreError(self._failure)
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                self._roll_back()
                if isinstance(error, sqlite3.Error):
                    raise self._failed(error) from error
                raise
            if wipes:
                self._scrub_due = True
            if self._scrub_due:
                self._scrub()

    def _lock_directory(self) -> int:
        try:
            self.directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.directory.mkdir(mode=0o700, exist_ok=True)
            self.directory.chmod(0o700)
            lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"the key store {self.directory} cannot be opened: {error.strerror}"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise StoreError(
                f"the key store {self.directory} is in use by another process; stop that one first"
            ) from error
        return lock

    def _open(self, kind: type[sqlite3.Connection]) -> sqlite3.Connection:
        try:
            # SQLite gives the log the mode of the database, so the database is made first.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StoreError(f"{self._path} cannot be opened: {error.strerror}") from error
        connection = None
        try:
            connection = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, factory=kind
            )
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}").fetchall()
            self._check(connection)
            # A crash may have left wiped bytes in the log.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            if connection is not None:
                connection.close()
            raise self._explain(error) from error
        except StoreError:
            assert connection is not None
            connection.close()
            raise
        self._scrub_due = False
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        faults = connection.execute("PRAGMA quick_check(1)").fetchall()
        if faults != [("ok",)]:
            raise StoreError(_DAMAGED.format(path=self._path))
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            connection.execute("COMMIT")
        elif version != SCHEMA_VERSION:
            raise StoreError(
                f"{self._path} has schema version {version}, this program writes"
                f" {SCHEMA_VERSION}; use the program version that wrote it"
            )

    def _scrub(self) -> None:
        # The transaction stands whatever happens here; a failed scrub is repeated after the next.
        with contextlib.suppress(sqlite3.Error):
            busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            self._scrub_due = bool(busy)

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.rollback()
        except sqlite3.Error as error:
            self._failed(error)

    def _failed(self, error: sqlite3.Error) -> StoreError:
        explained = self._explain(error)
        if _primary_code(error) != sqlite3.SQLITE_FULL and not self._failure:
            self._failure = f"{explained}; restart the node once the cause is removed"
        return explained

    def _explain(self, error: sqlite3.Error) -> StoreError:
        code = _primary_code(error)
        if code == sqlite3.SQLITE_FULL:
            return StoreFull(
                f"no space is left for {self._path}; nothing was changed: free space on its disk"
            )
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return StoreError(_DAMAGED.format(path=self._path))
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoreError(f"{self._path} is in use by another program; stop that one first")
        return StoreError(f"{self._path} cannot be used: {error}")


_DAMAGED = (
    "{path} is damaged; put no old copy back, since its pads are spent: move the file away and"
    " pair the links of this node anew"
)

_PRAGMAS = (
    "locking_mode=EXCLUSIVE",
    "journal_mode=WAL",
    "synchronous=FULL",
    "secure_delete=ON",
    "temp_store=MEMORY",
    "foreign_keys=ON",
    "trusted_schema=OFF",
    "cell_size_check=ON",
)

# A line is a sequence of secret bytes: a pad of one direction, one half of the pool, or what a
# prepared block will add to one of these. Its pieces are what is left of it; `start` counts bytes
# from the beginning of the line, `place` from that of the secret. Before `cursor` all is spent, at
# `end` more is appended, and `taken` counts the bytes that are gone from anywhere.
_SCHEMA = (
    """CREATE TABLE link (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        node TEXT NOT NULL,
        peer TEXT NOT NULL UNIQUE,
        own_half INTEGER NOT NULL,
        pairing TEXT NOT NULL,
        hash_key_0 BLOB NOT NULL,
        hash_key_1 BLOB NOT NULL,
        check_key BLOB NOT NULL,
        key_id_key BLOB NOT NULL,
        highest_block INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    """CREATE TABLE line (
        link INTEGER NOT NULL REFERENCES link ON DELETE CASCADE,
        name TEXT NOT NULL,
        cursor INTEGER NOT NULL DEFAULT 0,
        end INTEGER NOT NULL DEFAULT 0,
        taken INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (link, name)
    ) STRICT""",
    """CREATE TABLE secret (
        id INTEGER PRIMARY KEY,
        bytes BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE piece (
        link INTEGER NOT NULL,
        line TEXT NOT NULL,
        start INTEGER NOT NULL,
        length INTEGER NOT NULL,
        secret INTEGER NOT NULL REFERENCES secret,
        place INTEGER NOT NULL,
        PRIMARY KEY (link, line, start),
        FOREIGN KEY (link, line) REFERENCES line ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX piece_of_secret ON piece (secret)",
    """CREATE TRIGGER last_piece AFTER DELETE ON piece
        WHEN NOT EXISTS (SELECT 1 FROM piece WHERE secret = OLD.secret)
        BEGIN
            DELETE FROM secret WHERE id = OLD.secret;
        END""",
    """CREATE TABLE block (
        link INTEGER NOT NULL REFERENCES link ON DELETE CASCADE,
        number INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('prepared', 'released')),
        epsilon REAL NOT NULL,
        changed_at INTEGER NOT NULL,
        PRIMARY KEY (link, number)
    ) STRICT""",
    """CREATE TABLE imported_pairing (
        pairing TEXT PRIMARY KEY,
        link TEXT NOT NULL,
        imported_at INTEGER NOT NULL
    ) STRICT""",
)


def _primary_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
