"""Why a request for keys is refused, as ETSI GS QKD 014 V1.1.1 words it."""

from typing import Any

from qkd_controller.config.errors import QkdError


class Refusal(QkdError):
    """A request that gets an Error (clause 6.5) instead of what it asks for."""

    status = 400

    def __init__(self, message: str, details: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class BadRequest(Refusal):
    """The request itself is wrong."""


class Unauthorized(Refusal):
    """The requesting application may not have this."""

    status = 401


class Unavailable(Refusal):
    """The request is good, and this node cannot serve it now."""

    status = 503
