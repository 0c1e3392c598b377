"""Two ends of a block in one process, over memory pipes that carry encoded messages."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Union

import msgspec
import numpy as np
import pytest

from qkd_controller.config.link import BlockPlan
from qkd_controller.distillation.block import BlockPart, DistilledBlock, MatchedBlock, distil
from qkd_controller.distillation.workspace import Workspace
from qkd_controller.link.block_messages import BLOCK_MESSAGES
from qkd_controller.link.channel import BlockChannel, Discard
from qkd_controller.link.errors import BlockDiscarded, ProtocolError
from qkd_controller.link.inbox import Inbox
from qkd_controller.link.message import BlockMessage
from qkd_controller.security.ledger import BlockLedger

BLOCK = 7
Tamper = Callable[[str, BlockMessage], BlockMessage]
Outcome = DistilledBlock | BlockDiscarded | ProtocolError

_DECODER = msgspec.msgpack.Decoder(Union[BLOCK_MESSAGES])  # noqa: UP007


@dataclass
class Pair:
    """Both ends' channels; every message sent is kept, tamper may replace one on its way."""

    tamper: Tamper = lambda sender, message: message
    sent: list[tuple[str, BlockMessage]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.queues: dict[str, Inbox[BlockMessage]] = {
            name: Inbox(2**30) for name in ("alice", "bob")
        }
        self.ledgers = {"alice": BlockLedger(), "bob": BlockLedger()}
        self.channels = {
            name: BlockChannel(BLOCK, self.ledgers[name], self._outgoing(name), self.queues[name])
            for name in self.queues
        }

    def _outgoing(self, sender: str) -> Callable[[BlockMessage], Awaitable[None]]:
        receiver = {"alice": "bob", "bob": "alice"}[sender]

        async def send(message: BlockMessage) -> None:
            self.sent.append((sender, message))
            wire = msgspec.msgpack.encode(self.tamper(sender, message))
            self.queues[receiver].offer(_DECODER.decode(wire), len(wire))

        return send

    async def outcome(self, name: str, work: Awaitable[DistilledBlock]) -> Outcome:
        """A session that ends at one end ends at the other."""
        try:
            return await work
        except BlockDiscarded as error:
            return error
        except ProtocolError as error:
            other = {"alice": "bob", "bob": "alice"}[name]
            self.queues[other].offer(Discard(BLOCK, "the session has ended"), 0)
            return error


def make_codes(rng: np.random.Generator, pairs: int, qber: float) -> tuple[np.ndarray, np.ndarray]:
    """Codes of two ends whose bits differ at a rate qber where the bases agree."""
    bases = rng.integers(0, 2, (2, pairs), np.uint8)
    bits = rng.integers(0, 2, pairs, np.uint8)
    noise = (rng.random(pairs) < qber).astype(np.uint8)
    noise = np.where(bases[0] == bases[1], noise, rng.integers(0, 2, pairs, np.uint8))
    return bits | bases[0] << 1, (bits ^ noise) | bases[1] << 1


def make_plan(**changes: object) -> BlockPlan:
    """A small block that makes key at a few per cent of errors."""
    small: dict[str, object] = {
        "pairs": 24_000,
        "key_basis": "z",
        "key_bits": 5_500,
        "test_bits": 5_500,
        "qber_tolerance_ratio": 0.045,
        "leakage_budget_bits": 1_900,
        "epsilon_secrecy": 1e-4,
        "epsilon_correctness": 1e-10,
    }
    return BlockPlan(**(small | changes))  # type: ignore[arg-type]


async def run_pair(
    codes: tuple[np.ndarray, np.ndarray],
    plan: BlockPlan,
    *,
    alice_leads: bool = True,
    alice_refers: bool = True,
    expected_qber: float = 0.03,
    tamper: Tamper | None = None,
    **extra: object,
) -> tuple[Outcome, Outcome, Pair]:
    """Alice's outcome, Bob's outcome, and what passed between them."""
    pair = Pair(tamper) if tamper else Pair()
    parts = {
        "alice": BlockPart(alice_leads, alice_refers),
        "bob": BlockPart(not alice_leads, not alice_refers),
    }
    alice, bob = await asyncio.gather(
        *(
            pair.outcome(
                name,
                distil(
                    MatchedBlock(BLOCK, own),
                    pair.channels[name],
                    parts[name],
                    plan,
                    expected_qber,
                    Workspace(1 << 24),
                    epsilon_authentication=1e-30,
                    **extra,  # type: ignore[arg-type]
                ),
            )
            for name, own in zip(("alice", "bob"), codes, strict=True)
        )
    )
    return alice, bob, pair


@pytest.fixture(name="make_codes")
def make_codes_fixture() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    return make_codes


@pytest.fixture(name="make_plan")
def make_plan_fixture() -> Callable[..., BlockPlan]:
    return make_plan


@pytest.fixture(name="run_pair")
def run_pair_fixture() -> Callable[..., Awaitable[tuple[Outcome, Outcome, Pair]]]:
    return run_pair


@pytest.fixture(name="pair_of_channels")
def pair_fixture() -> type[Pair]:
    return Pair
