"""A line of secret bytes: added at its end, each byte taken at most once, wiped when taken."""

import sqlite3

from qkd_controller.keys.errors import InsufficientKey, KeyNotFound, PadReused

PIECE_BYTES = 512


class ByteLine:
    """One named line of one link, within the caller's transaction.

    Bytes before the cursor are spent for good. A byte after it is either still there or was taken
    out of order by take().
    """

    def __init__(self, connection: sqlite3.Connection, link: int, name: str) -> None:
        self._connection = connection
        self._where = (link, name)

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
        self._insert(end, data)
        self._write("end", end + len(data))

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
        data, pieces = self._copied(start, length)
        self._cut(pieces, start, start + length)
        return data

    def read_ahead(self, start: int, length: int) -> bytearray:
        """The bytes of a range after the cursor, all of which stay.

        Raises PadReused if it begins before the cursor, InsufficientKey if it ends past the end.
        """
        self._check_ahead(start, start + length)
        return self._copied(start, length)[0]

    def skip_to(self, cursor: int) -> None:
        """Moves the cursor on, wiping what it passes.

        Raises PadReused if that is backwards, InsufficientKey if it is past the end.
        """
        self._check_ahead(cursor, cursor)
        present = self.cursor
        self._cut(self._pieces(present, cursor), present, cursor)
        self._write("cursor", cursor)

    def _check_ahead(self, start: int, stop: int) -> None:
        present, end = self.cursor, self.end
        if start < present:
            raise PadReused(f"position {start} lies before the cursor {present}")
        if stop > end:
            raise InsufficientKey(f"position {stop} lies past the end {end}")

    def _copied(self, start: int, length: int) -> tuple[bytearray, list[tuple[int, bytes]]]:
        """The bytes of a range and the pieces they lie in; KeyNotFound if not all are there."""
        data = bytearray(length)
        stop = start + length
        covered = start
        pieces = self._pieces(start, stop)
        for first, piece in pieces:
            if first > covered:
                break
            low, high = max(first, start), min(first + len(piece), stop)
            data[low - start : high - start] = piece[low - first : high - first]
            covered = high
        if covered < stop:
            data[:] = bytes(length)
            raise KeyNotFound("the key was delivered already, or is not released at this end yet")
        return data, pieces

    def _read(self, column: str) -> int:
        row = self._connection.execute(
            f"SELECT {column} FROM line WHERE link = ? AND name = ?", self._where
        ).fetchone()
        return int(row[0])

    def _write(self, column: str, value: int) -> None:
        self._connection.execute(
            f"UPDATE line SET {column} = ? WHERE link = ? AND name = ?", (value, *self._where)
        )

    def _pieces(self, start: int, stop: int) -> list[tuple[int, bytes]]:
        # No piece is longer than PIECE_BYTES, so none that begins earlier reaches the range.
        return self._connection.execute(
            "SELECT start, bytes FROM piece WHERE link = ? AND line = ?"
            " AND start > ? AND start < ? AND start + length(bytes) > ? ORDER BY start",
            (*self._where, start - PIECE_BYTES, stop, start),
        ).fetchall()

    def _cut(self, pieces: list[tuple[int, bytes]], start: int, stop: int) -> None:
        """Removes [start, stop) from the pieces that overlap it."""
        taken = sum(min(first + len(piece), stop) - max(first, start) for first, piece in pieces)
        self._write("taken", self._read("taken") + taken)
        for first, piece in pieces:
            self._connection.execute(
                "DELETE FROM piece WHERE link = ? AND line = ? AND start = ?", (*self._where, first)
            )
            view = memoryview(piece)
            if first < start:
                self._insert(first, view[: start - first])
            if first + len(piece) > stop:
                self._insert(stop, view[stop - first :])

    def _insert(self, start: int, data: memoryview) -> None:
        self._connection.executemany(
            "INSERT INTO piece (link, line, start, bytes) VALUES (?, ?, ?, ?)",
            (
                (*self._where, start + offset, data[offset : offset + PIECE_BYTES])
                for offset in range(0, len(data), PIECE_BYTES)
            ),
        )
