"""The control socket of a running lab: JSON lines, one action each, one answer each."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from qkd_firmware_sim.lab import LabError


class ControlSocket:
    """A Unix socket that only its owner can use; `answer` takes a line and gives one."""

    def __init__(self, path: Path, answer: Callable[[bytes], Awaitable[bytes]]) -> None:
        self.path = path
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listens. Raises LabError if another lab does so already, or nobody may."""
        try:
            reader, writer = await asyncio.open_unix_connection(self.path)
        except (FileNotFoundError, ConnectionRefusedError):
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise LabError(f"cannot use {self.path}: {error.strerror or error}") from None
        else:
            writer.write_eof()
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(1):
                    await reader.read()
            writer.close()
            raise LabError(f"a lab already runs in {self.path.parent}; give this one another --dir")
        try:
            self._server = await asyncio.start_unix_server(self._serve, self.path)
        except OSError as error:
            raise LabError(f"cannot open {self.path}: {error.strerror or error}") from None
        self.path.chmod(0o600)

    async def close(self) -> None:
        """Drops every client and removes the socket, if it was opened here."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        self.path.unlink(missing_ok=True)
        connections = list(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            # A line beyond the stream's limit is a ValueError; closing the socket cancels.
            with contextlib.suppress(ConnectionError, ValueError, asyncio.CancelledError):
                while line := await reader.readline():
                    writer.write(await self._answer(line) + b"\n")
                    await writer.drain()
        finally:
            self._connections.discard(task)
            writer.close()
