"""What a block has told the world, entered once a message."""

import enum
from dataclasses import dataclass, field


class LedgerClass(enum.Enum):
    """What sending a message about a block costs."""

    PUBLIC = "public by protocol"
    DISCLOSED = "disclosed"
    LEAKED = "leaked"
    MASKED = "masked"


@dataclass
class StringLedger:
    """The account of one string of a block, in bits."""

    leaked_bits: int = 0
    disclosed_bits: int = 0


@dataclass
class BlockLedger:
    """The account of one block; both ends keep one and they must agree."""

    strings: dict[str, StringLedger] = field(
        default_factory=lambda: {"z": StringLedger(), "x": StringLedger()}
    )
    masked_bits: int = 0
    messages: int = 0

    def enter(self, ledger_class: LedgerClass, string: str, cost_bits: int) -> None:
        """Enters one message; raises ValueError for a negative or misplaced cost."""
        if cost_bits < 0:
            raise ValueError(f"a message cannot cost {cost_bits} bits")
        self.messages += 1
        if ledger_class is LedgerClass.PUBLIC:
            if cost_bits:
                raise ValueError(f"a public message cannot cost {cost_bits} bits")
        elif ledger_class is LedgerClass.MASKED:
            self.masked_bits += cost_bits
        elif ledger_class is LedgerClass.LEAKED:
            self.strings[string].leaked_bits += cost_bits
        else:
            self.strings[string].disclosed_bits += cost_bits
