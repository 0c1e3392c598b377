"""What must not be forgotten of a device: that we lit it, and the trip that nobody answered."""

import contextlib
import os
from pathlib import Path

import msgspec

from qkd_drivers.errors import DeviceError


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    lit: bool = False
    trip: str = ""


class Latch:
    """Holds until the operator re-arms, over lost wires and restarts of the node.

    Kept in the file path, which is on the disk before light goes on; without one, in memory. A
    file that cannot be read counts as a trip. Changes, which are rare, block for as long as the
    disk takes.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._rearmed = False
        self._kept = _Kept()
        if path is None:
            return
        try:
            self._kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
        except FileNotFoundError:
            pass
        except (OSError, msgspec.DecodeError) as error:
            self._kept = _Kept(trip=f"whether it had tripped cannot be read from {path}: {error}")

    @property
    def lit(self) -> bool:
        """Whether we switched light on and did not switch it off since."""
        return self._kept.lit

    @property
    def trip(self) -> str:
        """Why the device must stay safe; empty if nothing keeps it so."""
        return self._kept.trip

    @property
    def rearmed(self) -> bool:
        """Whether light may go on once in this connection, though a protection acted before."""
        return self._rearmed

    def light(self) -> None:
        """Before light goes on, or where it is found on; DeviceError if that cannot be kept."""
        self._rearmed = False
        try:
            self._keep(_Kept(lit=True, trip=self.trip))
        except OSError as error:
            raise DeviceError(
                f"{self._path} cannot be written ({error.strerror}), so no light goes on"
            ) from error

    def dark(self) -> None:
        """After light was switched off, or would not go on."""
        with contextlib.suppress(OSError):  # what it then wrongly holds keeps the light off
            self._keep(_Kept(trip=self.trip))

    def hold(self, cause: str) -> None:
        """After a trip."""
        self._rearmed = False
        try:
            self._keep(_Kept(lit=self.lit, trip=cause))
        except OSError as error:
            told = f"{cause}; a restart forgets this: {self._path}: {error.strerror}"
            self._kept = _Kept(lit=self.lit, trip=told)

    def rearm(self) -> None:
        """The operator's word that the cause of the trip is gone."""
        self._rearmed = True
        try:
            self._keep(_Kept())
        except OSError:  # a restart asks for that word again
            self._kept = _Kept()

    def lapse(self) -> None:
        """The connection was lost: what a protection does from now on needs a word of its own."""
        self._rearmed = False

    def _keep(self, kept: _Kept) -> None:
        if self._path is not None and kept != self._kept:
            _write(self._path, msgspec.json.encode(kept))
        self._kept = kept


def _write(path: Path, content: bytes) -> None:
    """All of it or nothing, on the disk when this returns."""
    _make(path.parent)
    written = path.with_suffix(".new")
    with written.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    written.replace(path)
    _sync(path.parent)


def _make(folder: Path) -> None:
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    entry = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(entry)
    finally:
        os.close(entry)
