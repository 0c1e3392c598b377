"""What one end needs to keep a connection, and whom it tells of it."""

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from qkd_controller.config.errors import ConfigError
from qkd_controller.config.node import Tls
from qkd_controller.link.codec import Codec
from qkd_controller.link.durable import DurableStore
from qkd_controller.link.resumption import Resumption
from qkd_controller.link.session import Session, SessionTiming
from qkd_controller.link.terms import LinkTerms

OnSession = Callable[[Session, Resumption], Awaitable[None]]
OnEvent = Callable[[str, dict[str, Any]], None]


class ConnectionState(enum.Enum):
    """How far the connection to the peer has come."""

    WAITING = "waiting"
    """For the peer to connect, or for the next attempt."""
    CONNECTING = "connecting"
    RESUMING = "resuming"
    UP = "up"


OnState = Callable[[ConnectionState, str], None]


@dataclass(frozen=True)
class BackOff:
    """The pauses between attempts: each longer than the last, up to a limit."""

    first_s: float = 0.5
    factor: float = 2.0
    limit_s: float = 30.0

    def pause_s(self, failures: int) -> float:
        """The pause after so many attempts in a row have failed, at least 1."""
        return min(self.first_s * self.factor ** min(failures - 1, 64), self.limit_s)


@dataclass(frozen=True)
class LinkEndpoint:
    """All that one end needs to keep a connection."""

    terms: LinkTerms
    address: str
    """``host:port`` where the listener listens."""
    tls: Tls
    store: DurableStore
    codec: Codec
    timing: SessionTiming = SessionTiming()
    back_off: BackOff = BackOff()

    @property
    def host_and_port(self) -> tuple[str, int]:
        """The parts of the address; raises ConfigError for an unusable one."""
        host, _, port = self.address.rpartition(":")
        try:
            return host.strip("[]"), int(port)
        except ValueError:
            raise ConfigError([f"{self.address}: is no host:port"]) from None
