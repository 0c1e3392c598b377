"""What can go wrong between the two ends."""

from qkd_controller.config.errors import QkdError


class LinkError(QkdError):
    """The link to the peer cannot go on; the session ends."""


class ProtocolError(LinkError):
    """The peer sent what it must not send now."""


class AuthenticationError(LinkError):
    """A tag, a certificate or a check value is not the peer's."""


class BlockDiscarded(QkdError):
    """This block makes no key; the link carries on."""

    def __init__(self, cause: str, by_peer: bool = False) -> None:
        super().__init__(cause)
        self.cause = cause
        self.by_peer = by_peer
