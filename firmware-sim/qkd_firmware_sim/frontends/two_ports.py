"""An instrument with a second port on which it only tells: WebSQ and its counts."""

from collections.abc import Callable

from qkd_firmware_sim.cores.core import Session
from qkd_firmware_sim.frontends.tcp import TcpPort
from qkd_firmware_sim.frontends.wire import Wire

COUNTS_OFFSET = 345
"""From the control port to that of the counts, as on the box: 12000 and 12345."""


class TwoPorts:
    """Two TCP ports; faults of the wire befall both."""

    def __init__(
        self,
        control: Callable[[], Session],
        counts: Callable[[], Session],
        wire: Wire,
        *,
        port: int = 0,
    ) -> None:
        self._control = TcpPort(control, wire, port=port)
        self._counts = TcpPort(counts, wire, port=port + COUNTS_OFFSET if port else 0)

    @property
    def address(self) -> str:
        return f"{self._control.address}?counts_port={self._counts.port}"

    @property
    def last_progress_s(self) -> float:
        """When a client last took output of either port, on the loop's clock."""
        return max(self._control.last_progress_s, self._counts.last_progress_s)

    async def open(self) -> None:
        await self._control.open()
        await self._counts.open()

    async def close(self) -> None:
        await self._control.close()
        await self._counts.close()
