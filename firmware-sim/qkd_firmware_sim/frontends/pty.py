"""A serial port: a pseudo-terminal behind a stable symbolic link."""

import asyncio
import fcntl
import os
import tty
from pathlib import Path

from qkd_firmware_sim.cores.core import Session
from qkd_firmware_sim.frontends.wire import Outlet, Wire


class PtyPort:
    """Publishes a session at a path that a client opens as it would /dev/ttyACM0.

    The port outlives its clients. A slave descriptor is kept open, since the kernel fails reads of
    a master whose slaves are all closed. Both ends are raw before anyone can open them: the line
    discipline would echo the instrument's output back to it.
    """

    def __init__(
        self, session: Session, path: Path, wire: Wire | None = None, *, baud: int | None = None
    ) -> None:
        self.path = path
        self.wire = wire or Wire()
        self._session = session
        self._baud = baud
        self._master = -1
        self._slave = -1
        self._watching = False
        self._locked = False
        self._outlet: Outlet | None = None
        self.wire.attach(self._apply, self._inject)
        self.last_progress_s = 0.0

    @property
    def address(self) -> str:
        return f"serial:{self.path}"

    async def open(self) -> None:
        """Creates the terminal and its link; output flows when the session has some."""
        self._session.on_output = self._pump
        self._plug()

    async def close(self) -> None:
        """Removes the link and the terminal; clients see their port vanish."""
        self._session.on_output = lambda: None
        self._unplug()

    async def _apply(self) -> None:
        if self.wire.cut:
            self._unplug()
            self._pump()
            return
        if self.wire.busy and not self._locked:
            self._unplug()  # a lock cannot be had while a client holds it
        if self._master < 0:
            self._plug()
        self._lock(self.wire.busy)
        if self.wire.refused:
            self.path.unlink(missing_ok=True)
        else:
            self._link()

    def _plug(self) -> None:
        self._master, self._slave = os.openpty()
        for fd in (self._master, self._slave):
            tty.setraw(fd)
        os.set_blocking(self._master, False)
        self._outlet = Outlet(self._session, self.wire, self._send, baud=self._baud)
        self._link()
        asyncio.get_running_loop().add_reader(self._master, self._readable)
        self._pump()

    def _unplug(self) -> None:
        if self._master < 0:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._master)
        self._watch(False)
        self.path.unlink(missing_ok=True)
        if self._outlet is not None:
            self._outlet.close()
            self._outlet = None
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1
        self._locked = False

    def _lock(self, wanted: bool) -> None:
        """Holds the port, or gives it free, as a program does that opens it for itself alone."""
        if wanted != self._locked:
            fcntl.flock(self._slave, fcntl.LOCK_EX | fcntl.LOCK_NB if wanted else fcntl.LOCK_UN)
            self._locked = wanted

    def _link(self) -> None:
        """Points the path at the terminal in one step, so that it never dangles."""
        fresh = self.path.with_name(f".{self.path.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(self._slave))
        fresh.rename(self.path)

    def _readable(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except BlockingIOError:
            return
        if self._outlet is not None:
            self._outlet.hear(data)

    def _send(self, data: bytes) -> int:
        try:
            sent = os.write(self._master, data)
        except BlockingIOError:
            return 0
        self.last_progress_s = asyncio.get_running_loop().time()
        return sent

    def _pump(self) -> None:
        if self._outlet is None:
            while self._session.take(1 << 20):
                pass
            return
        self._watch(self._outlet.pump())

    def _inject(self, data: bytes) -> None:
        if self._outlet is not None:
            self._outlet.inject(data)

    def _watch(self, wanted: bool) -> None:
        if wanted == self._watching:
            return
        self._watching = wanted
        loop = asyncio.get_running_loop()
        if wanted:
            loop.add_writer(self._master, self._pump)
        else:
            loop.remove_writer(self._master)
