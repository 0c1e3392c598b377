"""Messages to bytes and back: MessagePack of tagged structs inside a numbered envelope."""

from typing import Annotated, Any, NamedTuple, Union

import msgspec

from qkd_controller.link.errors import ProtocolError
from qkd_controller.link.framing import Payload
from qkd_controller.link.message import BlockMessage, Message

SESSION = 0
"""The transcript of everything that belongs to no block."""


class Envelope(NamedTuple):
    """A message, its place in its direction, and the transcript it belongs to."""

    sequence: int
    transcript: int
    """SESSION, or the number of a block."""
    message: Message


class Codec:
    """Encodes and decodes envelopes around the message types of one protocol."""

    def __init__(self, message_types: tuple[type[Message], ...]) -> None:
        if len({kind.__name__ for kind in message_types}) != len(message_types):
            raise ValueError("two message types of one name")
        number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
        message: Any = Union[message_types]  # noqa: UP007
        self._types = frozenset(message_types)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(tuple[number, number, message])

    def encode(self, envelope: Envelope) -> bytes:
        """The payload of one frame; raises ValueError for a message of a foreign type."""
        if type(envelope.message) not in self._types:
            raise ValueError(f"{type(envelope.message).__name__} is no message of this protocol")
        return self._encoder.encode(envelope)

    def decode(self, payload: Payload) -> Envelope:
        """Raises ProtocolError for anything but one well-formed envelope."""
        try:
            envelope = Envelope(*self._decoder.decode(payload))
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
            raise ProtocolError(f"the peer sent an unreadable message: {error}") from None
        message = envelope.message
        home = message.block if isinstance(message, BlockMessage) else SESSION
        if home != envelope.transcript or (isinstance(message, BlockMessage) and home <= 0):
            raise ProtocolError(
                f"{type(message).__name__} belongs to transcript {home}, not {envelope.transcript}"
            )
        return envelope
