"""SCPI with an error queue."""

import asyncio

from qkd_drivers.errors import (
    DeviceError,
    DeviceLost,
    DeviceMismatch,
    DeviceProtocolError,
    DeviceRefused,
    DeviceTimeout,
)
from qkd_drivers.framing.answers import leading_number, text
from qkd_drivers.framing.wire import Trace, Wire
from qkd_drivers.transports import Transport


class ScpiWire(Wire):
    """SCPI with an error queue (SCPI-99 vol. 2, 21.8), LF at the end of each message."""

    async def query(self, command: str, *, timeout_s: float | None = None) -> str:
        """The answer; DeviceRefused if the device queues an error instead of answering."""
        try:
            answer = await self.exchange(f"{command}\n".encode(), rb"\n", timeout_s=timeout_s)
        except DeviceTimeout as late:
            # A device that does not understand a query stays silent and queues an error.
            if errors := await self._errors_if_alive():
                raise DeviceRefused(
                    f"{self.device}: {command!r}: the device says {'; '.join(errors)}"
                ) from late
            raise
        return text(answer)

    async def query_number(self, command: str) -> float:
        """The answer as a number in SI units."""
        answer = await self.query(command)
        number = leading_number(answer)
        if number is None:
            self.doubt()
            raise DeviceProtocolError(f"{self.device}: {command!r}: {answer!r} is not a number")
        return number

    async def command(self, command: str) -> None:
        """Sends a setting and empties the error queue: DeviceRefused names what was in it."""
        async with self.transaction(repr(command)) as transport:
            await self.send(transport, f"{command}\n".encode())
            errors = await self._error_queue(transport)
        if errors:
            raise DeviceRefused(f"{self.device}: {command!r}: the device says {'; '.join(errors)}")

    async def errors(self) -> list[str]:
        """Takes all entries from the error queue, oldest first."""
        async with self.transaction("'SYST:ERR?'") as transport:
            return await self._error_queue(transport)

    async def _errors_if_alive(self) -> list[str]:
        try:
            return await self.errors()
        except DeviceError:
            return []

    async def _error_queue(self, transport: Transport) -> list[str]:
        errors: list[str] = []
        for _ in range(100):
            entry = text(await self._exchange(transport, b"SYST:ERR?\n", rb"\n"))
            code = leading_number(entry.partition(",")[0])
            if code is None:
                raise DeviceProtocolError(f"{entry!r} is not an entry of an error queue")
            if code == 0:
                return errors
            errors.append(entry)
        raise DeviceProtocolError("the error queue does not get empty")

    def _landmark(self) -> tuple[bytes, bytes]:
        return b"*IDN?\n", rb"[^\n,]*(,[^\n,]*){3}\n"


class ReopeningScpiWire(ScpiWire):
    """For devices that hang up when nothing was said for long: a lost wire is opened once more.

    Only for devices whose every request may be sent twice.
    """

    def __init__(self, transport: Transport, device: str, trace: Trace | None = None) -> None:
        super().__init__(transport, device, trace)
        self._turn = asyncio.Lock()
        self._wanted = False
        self._identity = ""

    async def open(self) -> None:
        await super().open()
        self._identity = await super().query("*IDN?")
        self._wanted = True

    async def close(self) -> None:
        self._wanted = False
        await super().close()

    async def query(self, command: str, *, timeout_s: float | None = None) -> str:
        async with self._turn:
            try:
                return await super().query(command, timeout_s=timeout_s)
            except DeviceLost:
                await self._reopen()
                return await super().query(command, timeout_s=timeout_s)

    async def command(self, command: str) -> None:
        async with self._turn:
            try:
                await super().command(command)
            except DeviceLost:
                await self._reopen()
                await super().command(command)

    async def _reopen(self) -> None:
        if not self._wanted:
            raise DeviceLost(f"{self.device}: the wire is closed")
        await super().open()
        found = await super().query("*IDN?")
        if found != self._identity:
            await super().close()
            raise DeviceMismatch(
                f"{self.device}: the device at this address says it is {found!r}, and was "
                f"{self._identity!r}: check the address"
            )
