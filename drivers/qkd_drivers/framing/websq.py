"""Single Quantum WebSQ: JSON objects, ended by ETB or glued together, and no answers.

A client asks for the labels, and the box tells them one by one, as it tells every client each label
that changes. Nothing says which question a label answers, so only what comes after the question
counts, and the last word on a label holds.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable
from typing import Any

from qkd_drivers.errors import DeviceProtocolError, DeviceRefused
from qkd_drivers.framing.wire import Wire
from qkd_drivers.transports import Transport

_ETB = b"\x17"
_REQUEST = b'{"request":"labelProps","value":"None"}'
_NOISE = re.compile(r"(?:[^{\n]*\n|\s)*")
_LONGEST = 1 << 20
_ASK_AGAIN_S = 0.05
_DECODER = json.JSONDecoder()


class WebsqWire(Wire):
    """The control port of one box."""

    _rest = b""

    async def labels(self, *names: str) -> dict[str, Any]:
        """What the box says of these labels: a value each, or an object with ``value`` in it.

        DeviceTimeout if one of them does not come; DeviceRefused if the box tells an error.
        """
        async with self.transaction("labelProps") as transport:
            return await self._ask(transport, names)

    async def set(
        self, command: str, label: str, value: object, same: Callable[[object], bool]
    ) -> None:
        """Sends a setting and asks until the label holds it; DeviceRefused if it never does."""
        told = json.dumps({"command": command, "label": label, "value": value})
        async with self.transaction(told) as transport:
            await self.send(transport, told.encode())
            give_up_s = time.monotonic() + self.reply_timeout_s
            while not same(held := plain((await self._ask(transport, (label,)))[label])):
                if time.monotonic() > give_up_s:
                    raise DeviceRefused(f"the device still holds {held}")
                await asyncio.sleep(_ASK_AGAIN_S)

    async def _ask(self, transport: Transport, names: tuple[str, ...]) -> dict[str, Any]:
        await self.send(transport, _REQUEST)
        give_up_s = time.monotonic() + self.reply_timeout_s
        found: dict[str, Any] = {}
        while not found.keys() >= set(names):
            left_s = max(0.0, give_up_s - time.monotonic())
            data = await transport.read_some(timeout_s=left_s)
            self.note("<", data)
            for label, value in self._take(data):
                if "Error" in label and plain(value):
                    raise DeviceRefused(f"the device says {label}: {plain(value)}")
                found[label] = value
        return found

    def _take(self, data: bytes) -> list[tuple[str, Any]]:
        """The labels that data completes; what is not whole yet waits for more."""
        *whole, rest = (self._rest + data).split(_ETB)
        objects: list[object] = []
        for segment in whole:
            found, left = _decode(segment)
            objects += found
            if left.strip():
                raise DeviceProtocolError(f"{left[:40]!r} is not JSON")
        found, self._rest = _decode(rest)
        objects += found
        if len(self._rest) > _LONGEST:
            raise DeviceProtocolError(f"{len(self._rest)} bytes without an end")
        return [
            (each["label"], each.get("value"))
            for each in objects
            # What has a command in it is our own setting, which a line gives back as an echo.
            if isinstance(each, dict)
            and isinstance(each.get("label"), str)
            and "command" not in each
        ]

    async def _take_unasked(self) -> None:
        if unasked := await self.transport.take_unasked():
            self.note("<", unasked)
            self._take(unasked)

    async def _resynchronise(self) -> None:
        self._rest = b""
        await super()._resynchronise()

    def _landmark(self) -> tuple[bytes, bytes]:
        return _REQUEST, rb'(?s)"NumberOfDetectors".*?\x17'


def plain(told: object) -> object:
    """The value of a label, whether it came with its bounds and unit or bare."""
    return told["value"] if isinstance(told, dict) and "value" in told else told


def _decode(data: bytes) -> tuple[list[object], bytes]:
    """The whole objects at the beginning, and what follows; lines between them are noise."""
    text = data.decode("latin-1")
    objects: list[object] = []
    position = 0
    while True:
        noise = _NOISE.match(text, position)
        begin = noise.end() if noise else position
        try:
            found, position = _DECODER.raw_decode(text, begin)
        except json.JSONDecodeError:
            return objects, data[begin:]
        objects.append(found)
