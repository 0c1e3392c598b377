"""A line of secret bytes: added at its end, each byte taken at most once, wiped when taken.

The bytes stand in secrets of up to SECRET_BYTES, where they are overwritten as they are taken; a
line is made of pieces, each of which says where in a secret it begins. So bytes are written once
when they come and once when they go, whatever becomes of the line in between.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from qkd_controller.keys.errors import InsufficientKey, KeyNotFound, PadReused

SECRET_BYTES = 1 << 14
"""A secret stays on the disk, more and more of it zeros, until its last byte is taken: longer ones
would be cheaper to add, but a single key that nobody fetches holds one up."""

# In place, as the length stays. Connection.blobopen would do the same, but a connection keeps a
# weak reference to every blob that was ever opened on it (python/cpython issue 144424).
_WIPE = """UPDATE secret
    SET bytes = CAST(substr(bytes, 1, ?1) || zeroblob(?2) || substr(bytes, ?1 + ?2 + 1) AS BLOB)
    WHERE id = ?3"""


@dataclass(frozen=True)
class _Piece:
    """Bytes of a line that are still there, and where they stand."""

    start: int
    length: int
    secret: int
    place: int
    """Of its first byte in the secret."""

    @property
    def stop(self) -> int:
        return self.start + self.length


class ByteLine:
    """One named line of one link, within the caller's transaction.

    Bytes before the cursor are spent for good. A byte after it is either still there or was taken
    out of order by take().
    """

    def __init__(self, connection: sqlite3.Connection, link: int, name: str) -> None:
        self._connection = connection
        self._where = (link, name)

    @classmethod
    def create(cls, connection: sqlite3.Connection, link: int, name: str) -> "ByteLine":
        """A new and empty line."""
        connection.execute("INSERT INTO line (link, name) VALUES (?, ?)", (link, name))
        return cls(connection, link, name)

    @property
    def cursor(self) -> int:
        """Bytes spent or skipped at the beginning of the line."""
        return self._read("cursor")

    @property
    def end(self) -> int:
        """Bytes ever appended."""
        return self._read("end")

    def remaining_bytes(self) -> int:
        """Bytes that can still be taken."""
        return self.end - self._read("taken")

    def append(self, data: memoryview) -> None:
        """Adds bytes at the end."""
        end = self.end
        secret = self._one("SELECT coalesce(max(id), 0) FROM secret")
        starts = range(0, len(data), SECRET_BYTES)
        self._connection.executemany(
            "INSERT INTO secret (id, bytes) VALUES (?, ?)",
            (
                (secret + count, data[start : start + SECRET_BYTES])
                for count, start in enumerate(starts, start=1)
            ),
        )
        self._insert(
            _Piece(end + start, min(SECRET_BYTES, len(data) - start), secret + count, 0)
            for count, start in enumerate(starts, start=1)
        )
        self._write("end", end + len(data))

    def join(self, other: "ByteLine") -> None:
        """Adds an untouched line of the same link at the end; that one is no more."""
        end = self.end
        self._write("end", end + other.end)
        self._connection.execute(
            "UPDATE piece SET line = ?, start = start + ? WHERE link = ? AND line = ?",
            (self._where[1], end, *other._where),
        )
        other.delete()

    def delete(self) -> None:
        """Wipes what is left of the line and forgets it."""
        self._connection.execute("DELETE FROM line WHERE link = ? AND name = ?", self._where)

    def take_next(self, length: int) -> tuple[int, bytearray]:
        """The bytes at the cursor, which moves past them: (where they were, the bytes).

        Raises InsufficientKey if fewer are left.
        """
        cursor = self.cursor
        if cursor + length > self.end:
            raise InsufficientKey(f"{self.end - cursor} bytes are left, {length} were asked for")
        data = self.take(cursor, length)
        self._write("cursor", cursor + length)
        return cursor, data

    def take(self, start: int, length: int) -> bytearray:
        """The bytes of any range; raises KeyNotFound, taking none, if not all are there."""
        data = self._copied(start, length)
        self._cut(start, start + length)
        return data

    def read_ahead(self, start: int, length: int) -> bytearray:
        """The bytes of a range after the cursor, all of which stay.

        Raises PadReused if it begins before the cursor, InsufficientKey if it ends past the end.
        """
        self._check_ahead(start, start + length)
        return self._copied(start, length)

    def skip_to(self, cursor: int) -> None:
        """Moves the cursor on, wiping what it passes.

        Raises PadReused if that is backwards, InsufficientKey if it is past the end.
        """
        self._check_ahead(cursor, cursor)
        self._cut(self.cursor, cursor)
        self._write("cursor", cursor)

    def _check_ahead(self, start: int, stop: int) -> None:
        present, end = self.cursor, self.end
        if start < present:
            raise PadReused(f"position {start} lies before the cursor {present}")
        if stop > end:
            raise InsufficientKey(f"position {stop} lies past the end {end}")

    def _copied(self, start: int, length: int) -> bytearray:
        """The bytes of a range; KeyNotFound if not all are there."""
        stop = start + length
        pieces = self._pieces(start, stop)
        there = sum(min(piece.stop, stop) - max(piece.start, start) for piece in pieces)
        if there < length:
            raise KeyNotFound("the key was delivered already, or is not released at this end yet")
        data = bytearray(length)
        for piece in pieces:
            low, high = max(piece.start, start), min(piece.stop, stop)
            place = piece.place + low - piece.start
            data[low - start : high - start] = self._connection.execute(
                "SELECT substr(bytes, ? + 1, ?) FROM secret WHERE id = ?",
                (place, high - low, piece.secret),
            ).fetchone()[0]
        return data

    def _read(self, column: str) -> int:
        return self._one(f"SELECT {column} FROM line WHERE link = ? AND name = ?", *self._where)

    def _one(self, query: str, *values: object) -> int:
        return int(self._connection.execute(query, values).fetchone()[0])

    def _write(self, column: str, value: int) -> None:
        self._connection.execute(
            f"UPDATE line SET {column} = ? WHERE link = ? AND name = ?", (value, *self._where)
        )

    def _pieces(self, start: int, stop: int) -> list[_Piece]:
        # No piece is longer than a secret, so none that begins earlier reaches the range.
        rows = self._connection.execute(
            "SELECT start, length, secret, place FROM piece WHERE link = ? AND line = ?"
            " AND start > ? AND start < ? AND start + length > ? ORDER BY start",
            (*self._where, start - SECRET_BYTES, stop, start),
        )
        return [_Piece(*row) for row in rows]

    def _cut(self, start: int, stop: int) -> None:
        """Takes [start, stop) out of the pieces that overlap it."""
        taken = 0
        for piece in self._pieces(start, stop):
            low, high = max(piece.start, start), min(piece.stop, stop)
            taken += high - low
            # What stays comes first: the schema deletes a secret with its last piece.
            if high < piece.stop:
                place = piece.place + high - piece.start
                self._insert([_Piece(high, piece.stop - high, piece.secret, place)])
            where = (*self._where, piece.start)
            if low > piece.start:
                self._connection.execute(
                    "UPDATE piece SET length = ? WHERE link = ? AND line = ? AND start = ?",
                    (low - piece.start, *where),
                )
            else:
                self._connection.execute(
                    "DELETE FROM piece WHERE link = ? AND line = ? AND start = ?", where
                )
            self._wipe(piece.secret, piece.place + low - piece.start, high - low)
        self._write("taken", self._read("taken") + taken)

    def _wipe(self, secret: int, place: int, length: int) -> None:
        """Overwrites a part of a secret, unless that is gone as a whole."""
        self._connection.execute(_WIPE, (place, length, secret))

    def _insert(self, pieces: Iterable[_Piece]) -> None:
        self._connection.executemany(
            "INSERT INTO piece (link, line, start, length, secret, place)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            ((*self._where, p.start, p.length, p.secret, p.place) for p in pieces),
        )
