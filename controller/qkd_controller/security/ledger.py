"""What a block has told the world, entered once a message."""

import enum


class LedgerClass(enum.Enum):
    """What sending a message about a block costs."""

    PUBLIC = "public by protocol"
    DISCLOSED = "disclosed"
    LEAKED = "leaked"
    MASKED = "masked"
