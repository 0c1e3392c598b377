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


@dataclass(frozen=True)
class Account:
    """A ledger at one moment, for comparison and for checks."""

    leaked_z_bits: int
    leaked_x_bits: int
    disclosed_z_bits: int
    disclosed_x_bits: int
    masked_bits: int
    messages: int


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
        if ledger_class is LedgerClass.PUBLIC:
            if cost_bits:
                raise ValueError(f"a public message cannot cost {cost_bits} bits")
        elif ledger_class is LedgerClass.MASKED:
            self.masked_bits += cost_bits
        elif string not in self.strings:
            raise ValueError(f"no string {string!r} to charge {cost_bits} bits to")
        elif ledger_class is LedgerClass.LEAKED:
            self.strings[string].leaked_bits += cost_bits
        else:
            self.strings[string].disclosed_bits += cost_bits
        self.messages += 1

    def account(self) -> Account:
        """The present state, frozen."""
        z, x = self.strings["z"], self.strings["x"]
        return Account(
            leaked_z_bits=z.leaked_bits,
            leaked_x_bits=x.leaked_bits,
            disclosed_z_bits=z.disclosed_bits,
            disclosed_x_bits=x.disclosed_bits,
            masked_bits=self.masked_bits,
            messages=self.messages,
        )
