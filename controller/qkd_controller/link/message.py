"""The base of every message between the two ends."""

from typing import ClassVar

import msgspec

from qkd_controller.security.ledger import LedgerClass


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A typed message; its type decides its ledger class once and for all."""

    ledger_class: ClassVar[LedgerClass] = LedgerClass.PUBLIC


class BlockMessage(Message, frozen=True, tag=True, array_like=True):
    """A message about one block: it carries bits of this block only."""

    block: int

    def cost_bits(self) -> int:
        """Bits that this message adds to its ledger class; 0 where public."""
        return 0

    def paid_by(self) -> str:
        """The string ("z" or "x") whose ledger pays, or "" for the whole block."""
        return ""
