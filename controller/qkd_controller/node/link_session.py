"""What one link end does during one session with its peer."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from qkd_controller.acquisition.reference import ReferenceEnd
from qkd_controller.config.link import LinkFile
from qkd_controller.distillation.block import BlockPart, MatchedBlock
from qkd_controller.distillation.workspace import Workspace
from qkd_controller.link.acquisition_messages import ACQUISITION_MESSAGES, Mode, TestResult
from qkd_controller.link.errors import BlockDiscarded, LinkError, ProtocolError
from qkd_controller.link.message import Message
from qkd_controller.link.running_messages import (
    AlignBegin,
    AlignEnd,
    AlignProbe,
    AlignResult,
    BlockCut,
    Readiness,
    StateReport,
)
from qkd_controller.link.session import Session
from qkd_controller.node.alignment import AlignmentFailed, Errors
from qkd_controller.node.conductor import Conductor, SliceId, TestSlice
from qkd_controller.node.distilling import Distiller
from qkd_controller.node.instruments import Instruments
from qkd_controller.node.matching import Matching
from qkd_controller.node.outbox import Outbox
from qkd_controller.node.pace import Pace
from qkd_controller.node.releases import Releases
from qkd_controller.node.state import LinkState
from qkd_controller.node.steering import steer
from qkd_controller.security.leakage import LeakageMonitor

WAITING_WORDS = 16
"""Of an alignment; a peer that says more before it is answered waits."""
# From the engine's word to the peer's engine, which refuses a change for what is recorded already.
ANNOUNCE_GUARD_PS = 500_000_000_000
# A probe only measures: photons of the old setting would blur it, not harm it.
PROBE_GUARD_PS = 120_000_000_000


class Owner(Protocol):
    """The link end whose session this is."""

    own: str
    peer: str
    link: LinkFile
    instruments: Instruments
    matching: Matching
    monitor: LeakageMonitor
    workspace: Workspace
    pace: Pace
    releases: Releases

    def conducted(self, state: LinkState, cause: str) -> None:
        """The session's view of the link has changed."""

    def expected_qber(self) -> float:
        """The error rate to be expected of the next block."""

    def aligned(self, qber_ratio: float, steps: int, fault: str) -> None:
        """An alignment has ended."""

    def on_stage(self, block: int, stage: str) -> None:
        """The block has come to this stage."""

    def on_sifted(self, bits: int) -> None:
        """So many bits of a block were sifted, whatever becomes of them."""

    def on_discarded(self, block: int, cause: str) -> None:
        """The block has made no key."""


class LinkSession:
    """Both ends' part in a session; the conducting end does more."""

    def __init__(self, owner: Owner, session: Session) -> None:
        roles, link = owner.link.roles, owner.link
        self._owner = owner
        self._session = session
        self._outbox = Outbox()
        self._faults: asyncio.Queue[LinkError] = asyncio.Queue()
        self._readiness_changed = asyncio.Event()
        self._collected = asyncio.Event()
        self._peer = Readiness(False, "has not told yet", False)
        self._alignment: asyncio.Queue[AlignProbe | AlignEnd] = asyncio.Queue(WAITING_WORDS)
        self._probed: asyncio.Queue[AlignResult] = asyncio.Queue(WAITING_WORDS)
        self._steering: asyncio.Task[None] | None = None
        self._distiller = Distiller(
            session,
            BlockPart(
                commit_leader=roles.commit_leader == owner.own,
                bit_reference=roles.bit_reference == owner.own,
            ),
            link.block,
            owner.expected_qber,
            lambda: owner.matching.engine.settled_pairs,
            owner.monitor,
            owner.workspace,
            owner.pace,
            owner.releases,
            owner.on_sifted,
            owner.on_stage,
            owner.on_discarded,
        )
        self._conductor = Conductor(self, link) if roles.time_reference == owner.own else None

    async def run(self) -> None:
        """Runs until the session ends or is cancelled."""
        self._owner.matching.attach(self._outbox)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send())
                group.create_task(self._raise_faults())
                group.create_task(self._tell_readiness())
                group.create_task(self._distiller.run())
                if self._conductor is not None:
                    group.create_task(self._conductor.run())
                    group.create_task(self._cut_blocks())
                async for message in self._session.messages():
                    await self._receive(message, group)
        finally:
            self._owner.matching.detach(self._outbox)

    def fail(self, error: LinkError) -> None:
        """Ends the session with this error."""
        self._faults.put_nowait(error)

    def instruments_changed(self) -> None:
        """This end's instruments became ready or not."""
        self._readiness_changed.set()

    def engine_spoke(self, message: Message) -> None:
        """Hears every message of this end's engine."""
        if isinstance(message, TestResult) and self._conductor is not None:
            self._conductor.tested(_test_slice(message))
        self.engine_ran()

    def engine_ran(self) -> None:
        """The engine may have collected or locked."""
        self._collected.set()
        if self._conductor is not None:
            self._conductor.notify()

    # What the conductor sees and does (conductor.Table).

    def missing(self) -> str:
        parts = []
        if own := self._owner.instruments.missing():
            parts.append(f"{self._owner.own}: {own}")
        if not self._peer.ready:
            parts.append(f"{self._owner.peer}: {self._peer.cause}")
        return "; ".join(parts)

    def locked(self) -> bool:
        return self._engine().locked

    def set_mode(self, mode: Mode) -> None:
        engine = self._engine()
        # The host's time is that at which the engine gets to it, not that of asking.
        self._owner.matching.tell(
            lambda _: [engine.set_mode(mode, ANNOUNCE_GUARD_PS, time.time_ns())]
        )

    def next_slice(self) -> SliceId:
        return self._engine().next_slice(PROBE_GUARD_PS)

    async def align(self, cause: str, probe: Callable[[], Awaitable[Errors]]) -> float:
        actor = self._owner.instruments.polarisation
        if actor is not None:
            outcome = await steer(actor, probe, self._owner.link.alignment)
            self._owner.aligned(outcome.qber_ratio, outcome.steps, "")
            return outcome.qber_ratio
        if not self._peer.steers_polarisation:
            raise AlignmentFailed("neither end has a polarisation controller")
        return await self._align_at_peer(cause, probe)

    def enter(self, state: LinkState, cause: str) -> None:
        self._owner.conducted(state, cause)
        self._put(StateReport(state.value, cause))

    async def _align_at_peer(self, cause: str, probe: Callable[[], Awaitable[Errors]]) -> float:
        while not self._alignment.empty():
            self._alignment.get_nowait()
        self._put(AlignBegin(cause))
        while True:
            message = await self._alignment.get()
            if isinstance(message, AlignEnd):
                self._owner.aligned(message.qber_ratio, message.steps, message.fault)
                if message.fault:
                    raise AlignmentFailed(f"{self._owner.peer}: {message.fault}")
                return message.qber_ratio
            errors = await probe()
            self._put(
                AlignResult(
                    message.step,
                    errors.sifted_z,
                    errors.errors_z,
                    errors.sifted_x,
                    errors.errors_x,
                )
            )

    async def _steer_for_peer(self) -> None:
        """Aligns here while the conducting end measures."""
        actor = self._owner.instruments.polarisation
        step = 0

        async def probe() -> Errors:
            nonlocal step
            step += 1
            self._put(AlignProbe(step))
            while (result := await self._probed.get()).step != step:
                continue
            return Errors(result.sifted_z, result.errors_z, result.sifted_x, result.errors_x)

        try:
            if actor is None:
                raise AlignmentFailed("no polarisation controller here")
            outcome = await steer(actor, probe, self._owner.link.alignment)
        except AlignmentFailed as failure:
            end = AlignEnd(step, 0.5, str(failure))
        else:
            end = AlignEnd(step, outcome.qber_ratio, "")
        self._put(end)
        self._owner.aligned(end.qber_ratio, end.steps, end.fault)

    async def _receive(self, message: Message, group: asyncio.TaskGroup) -> None:
        if isinstance(message, ACQUISITION_MESSAGES):
            await self._owner.matching.receive(message)
        elif isinstance(message, Readiness):
            self._peer = message
            self.engine_ran()
        elif isinstance(message, StateReport) and self._conductor is None:
            self._owner.conducted(_state(message), message.cause)
        elif isinstance(message, AlignBegin) and self._conductor is None:
            if self._steering is not None:
                self._steering.cancel()
            self._steering = group.create_task(self._steer_for_peer())
        elif isinstance(message, AlignResult) and self._conductor is None:
            await self._probed.put(message)
        elif isinstance(message, AlignProbe | AlignEnd) and self._conductor is not None:
            await self._alignment.put(message)
        elif isinstance(message, BlockCut) and self._conductor is None:
            await self._join_block(message)
        else:
            raise ProtocolError(
                f"{self._owner.peer} sent {type(message).__name__}, which is not its part"
            )

    async def _cut_blocks(self) -> None:
        """Cuts a block as soon as there are pairs for it and room among those in flight."""
        pairs = self._owner.link.block.pairs
        while True:
            await self._distiller.room()
            self._collected.clear()
            taken = await self._owner.matching.call(lambda engine: engine.take_block(pairs))
            if taken is None:
                await self._collected.wait()
                continue
            slices, codes = taken
            block = self._session.next_block
            self._put(BlockCut(block, tuple(slices)))
            self._distiller.put(MatchedBlock(block, codes))

    async def _join_block(self, cut: BlockCut) -> None:
        try:
            codes = await self._owner.matching.call(lambda engine: engine.take_slices(cut.slices))
        except BlockDiscarded as discarded:
            await self._distiller.refuse(cut.block, discarded.cause)
            return
        self._distiller.put(MatchedBlock(cut.block, codes))

    async def _tell_readiness(self) -> None:
        while True:
            missing = self._owner.instruments.missing()
            steers = self._owner.instruments.polarisation is not None
            self._put(Readiness(not missing, missing, steers))
            self.engine_ran()
            await self._readiness_changed.wait()
            self._readiness_changed.clear()

    async def _send(self) -> None:
        while True:
            await self._session.send(await self._outbox.get())

    async def _raise_faults(self) -> None:
        raise await self._faults.get()

    def _put(self, message: Message) -> None:
        try:
            self._outbox.put(message)
        except LinkError as error:
            self.fail(error)

    def _engine(self) -> ReferenceEnd:
        engine = self._owner.matching.engine
        assert isinstance(engine, ReferenceEnd)
        return engine


def _test_slice(result: TestResult) -> TestSlice:
    return TestSlice(
        (result.epoch, result.index),
        Errors(result.sifted_z, result.errors_z, result.sifted_x, result.errors_x),
    )


def _state(report: StateReport) -> LinkState:
    try:
        return LinkState(report.state)
    except ValueError:
        raise ProtocolError(f"the peer reports a state {report.state!r}") from None
