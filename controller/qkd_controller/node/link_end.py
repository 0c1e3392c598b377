"""One end of one link at run time: its instruments, its engine, and its sessions with the peer."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

from qkd_controller.acquisition.announcing import AnnouncingEnd
from qkd_controller.acquisition.reference import ReferenceEnd
from qkd_controller.config.errors import first_error
from qkd_controller.config.link import LinkFile
from qkd_controller.config.node import LinkEnd, NodeFile
from qkd_controller.devices.errors import ChangeKept, DeviceNotReady
from qkd_controller.devices.state import State, StateChange
from qkd_controller.devices.tagger import RunEnded
from qkd_controller.distillation.report import BlockReport
from qkd_controller.distillation.workspace import Workspace
from qkd_controller.keys.errors import StoreError, StoreFull
from qkd_controller.keys.link_store import SqliteLinkStore
from qkd_controller.link.acquisition_messages import ACQUISITION_MESSAGES
from qkd_controller.link.block_messages import BLOCK_MESSAGES
from qkd_controller.link.connection import ConnectionState, LinkEndpoint, maintain
from qkd_controller.link.durable import DurableStore
from qkd_controller.link.errors import LinkError
from qkd_controller.link.message import Message
from qkd_controller.link.resumption import Resumption
from qkd_controller.link.running_messages import RUNNING_MESSAGES
from qkd_controller.link.session import Session, session_codec
from qkd_controller.link.terms import LinkTerms
from qkd_controller.node.distilling import window_blocks
from qkd_controller.node.figures import Figures
from qkd_controller.node.instruments import Instruments
from qkd_controller.node.link_session import LinkSession
from qkd_controller.node.matching import EventSource, Matching
from qkd_controller.node.operator import RequestDeclined
from qkd_controller.node.pace import Pace
from qkd_controller.node.releases import Releases
from qkd_controller.node.state import LinkState, StateMachine
from qkd_controller.security.leakage import LeakageMonitor
from qkd_controller.telemetry.events import EventLog
from qkd_controller.telemetry.metrics import Metrics
from qkd_drivers.errors import DeviceError

FIRST_QBER_RATIO = 0.03
LOW_PAD_BYTES = 1 << 14
DISCARDS_TO_ALARM = 3
STORE_RETRY_S = 5.0
REFUSALS = ("AuthenticationError", "RefusedByPeer")
"""Kinds of error that no new attempt mends by itself."""


class LinkRuntime:
    """Everything of one link end that lives as long as the node."""

    def __init__(
        self,
        node: NodeFile,
        end: LinkEnd,
        link: LinkFile,
        store: SqliteLinkStore,
        log: EventLog,
        metrics: Metrics,
    ) -> None:
        self.own = node.name
        self.peer = store.peer
        self.link = link
        self.store = store
        latches = Path(node.state_dir) / "latches" / quote(link.name, safe="")
        self.instruments = Instruments(end, self._on_device, latches)
        self.machine = StateMachine(self._on_state)
        self.monitor = LeakageMonitor()
        self.workspace = Workspace(link.block.in_flight_mib << 20)
        self.pace = Pace(link.block, window_blocks(link.block))
        self._end = end
        self._log = log
        self._metrics = metrics
        self._session: LinkSession | None = None
        self._conducted = (LinkState.SYNCHRONISING, "the peer has not reported yet")
        self._stopped = ""
        self._store_fault = ""
        self._unconnected = ""
        self._refusal = ""
        engine_kind = ReferenceEnd if link.roles.time_reference == node.name else AnnouncingEnd
        engine = engine_kind(link.timing, end.buffer_limit_mib << 20)
        self.figures = Figures(engine, link.timing.slice_ms)
        resolution_ps = self.instruments.tagger.resolution_ps
        source = EventSource(link.timing, end.channels, resolution_ps)
        self.matching = Matching(engine, source, self._on_engine, self._on_engine_fault)
        durable = DurableStore(store, store.in_thread)
        self.releases = Releases(durable, self._on_released)
        self._endpoint = LinkEndpoint(
            terms=LinkTerms.of(link, node.name),
            address=end.address,
            tls=node.tls,
            store=durable,
            codec=session_codec(ACQUISITION_MESSAGES + BLOCK_MESSAGES + RUNNING_MESSAGES),
        )

    @property
    def connected(self) -> bool:
        """Whether there is a session with the peer."""
        return self._session is not None

    def alarms(self, pad_bytes: tuple[int, int]) -> tuple[str, ...]:
        """What an operator should look at, worst first; pad_bytes are left, by direction."""
        alarms = []
        if self._stopped:
            alarms.append(f"link stopped: {self._stopped}")
        if self._store_fault:
            alarms.append(self._store_fault)
        if self._refusal:
            alarms.append(f"link refused: {self._refusal}")
        if self.machine.state is LinkState.ALARM:
            alarms.append(self.machine.cause)
        alarms += [
            f"{name} tripped: {actor.cause}; once the cause is gone: qkd rearm NODE.toml {name}"
            for name, actor in self.instruments.actors.items()
            if actor.state is State.TRIPPED
        ]
        if self.figures.discards_in_row >= DISCARDS_TO_ALARM:
            alarms.append(
                f"{self.figures.discards_in_row} blocks in a row made no key: "
                f"{self.figures.last_discard}"
            )
        if min(pad_bytes) < LOW_PAD_BYTES:
            alarms.append(
                f"authentication pad low: {min(pad_bytes)} bytes left; at the end the link stops "
                "and must be paired anew"
            )
        return tuple(alarms)

    def rearm(self, device: str) -> None:
        """Re-arms a tripped device; raises RequestDeclined if it is not tripped."""
        actor = self.instruments.actors[device]
        if actor.state is not State.TRIPPED:
            raise RequestDeclined(f"{device} is {actor.state}, not tripped")
        actor.rearm()

    async def set(self, device: str, changes: dict[str, Any]) -> None:
        """Changes set-points until the node ends.

        Raises RequestDeclined if they cannot be held, ChangeKept if they cannot be held yet.
        """
        try:
            await self.instruments.actors[device].set(**changes)
        except ChangeKept:
            raise
        except (ValueError, DeviceError, DeviceNotReady) as error:
            raise RequestDeclined(str(error)) from error

    async def run(self) -> None:
        """Runs the end until cancelled, then brings its instruments to rest."""
        self._restate()
        async with asyncio.TaskGroup() as group:
            actors = [group.create_task(a.run()) for a in self.instruments.actors.values()]
            tasks = [
                group.create_task(self._stream()),
                group.create_task(self.matching.run()),
                group.create_task(self._keep_session()),
            ]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await self.instruments.shutdown()
                for actor in actors:
                    actor.cancel()

    # What a session tells (link_session.Owner).

    def conducted(self, state: LinkState, cause: str) -> None:
        self._conducted = (state, cause)
        self._restate()

    def expected_qber(self) -> float:
        """Of the key string; of the other one where nothing is known of it."""
        ratios = self.figures.qber_ratio()
        known = [ratios[self.link.block.key_basis], *ratios.values()]
        return next((ratio for ratio in known if ratio is not None), FIRST_QBER_RATIO)

    def aligned(self, qber_ratio: float, steps: int, fault: str) -> None:
        self._emit("aligned", qber_ratio=round(qber_ratio, 5), steps=steps, fault=fault)

    def on_stage(self, block: int, stage: str) -> None:
        self.figures.block, self.figures.stage = block, stage

    def on_sifted(self, bits: int) -> None:
        self.figures.sifted_bits.add(bits)
        self._metrics.sifted.labels(self.link.name).inc(bits / 8)

    def on_discarded(self, block: int, cause: str) -> None:
        self.figures.discarded_block(cause)
        self._metrics.blocks.labels(self.link.name, "discarded").inc()
        self._emit("block_discarded", block=block, cause=cause)
        in_row = self.figures.discards_in_row
        if in_row == DISCARDS_TO_ALARM:
            self._log.warn("no_key", link=self.link.name, blocks=in_row, cause=cause)

    def _on_released(self, block: int, report: BlockReport) -> None:
        self.figures.released_block(report)
        name, key, test = self.link.name, report.key_string, report.test_string
        metrics = self._metrics
        metrics.blocks.labels(name, "released").inc()
        metrics.secret.labels(name).inc(report.released_bits / 8)
        metrics.leaked.labels(name).inc(key.leaked_bits / 8)
        metrics.efficiency.labels(name).set(key.efficiency)
        for stage, duration_s in report.durations_s.items():
            metrics.stage.labels(name, stage).observe(duration_s)
        self._emit(
            "block_released",
            block=block,
            released_bits=report.released_bits,
            key_bits=key.string_bits,
            test_bits=test.string_bits,
            key_qber_ratio=round(key.qber_ratio, 5),
            test_qber_ratio=round(test.qber_ratio, 5),
            leaked_bits=key.leaked_bits,
            efficiency_f=round(key.efficiency, 4),
            multi_clicks=report.multi_clicks,
            epsilon=report.epsilons.total,
            durations_s={k: round(v, 4) for k, v in report.durations_s.items()},
        )

    async def _stream(self) -> None:
        tagger = self.instruments.tagger
        async with contextlib.aclosing(tagger.stream(self._end.run_duration_s)) as stream:
            async for item in stream:
                self.matching.feed(item)
                if isinstance(item, RunEnded):
                    self._on_run(item)

    async def _keep_session(self) -> None:
        """One session after another; what no new one can mend stops the link, not the node."""
        while True:
            try:
                await maintain(
                    self._endpoint, self._serve, self._on_connection, self._on_link_event
                )
            except StoreFull as error:
                self._store_fault = str(error)
                self._log.warn("store_full", link=self.link.name, cause=str(error))
                self._restate()
                await asyncio.sleep(STORE_RETRY_S)
            except StoreError as error:
                self._stopped = str(error)
                self._log.warn("link_stopped", link=self.link.name, cause=str(error))
                self._restate()
                return

    async def _serve(self, session: Session, resumption: Resumption) -> None:
        del resumption  # told by the connection's own event
        self._conducted = (LinkState.SYNCHRONISING, "a session has begun")
        self._store_fault = self._refusal = self._unconnected = ""
        self._session = LinkSession(self, session)
        self._restate()
        try:
            await self._session.run()
        except* LinkError as errors:
            raise first_error(errors) from None
        finally:
            self._session = None
            self._restate()

    def _restate(self) -> None:
        missing = self.instruments.missing()
        if self._stopped:
            self.machine.enter(LinkState.DOWN, self._stopped)
        elif missing:
            self.machine.enter(LinkState.PREPARING, missing)
        elif self._session is None:
            cause = self._store_fault or self._unconnected or f"no session with {self.peer} yet"
            self.machine.enter(LinkState.CONNECTING, cause)
        else:
            self.machine.enter(*self._conducted)

    def _on_engine(self, message: Message) -> None:
        if self._session is not None:
            self._session.engine_spoke(message)

    def _on_engine_fault(self, error: LinkError) -> None:
        if self._session is not None:
            self._session.fail(error)

    def _on_run(self, run: RunEnded) -> None:
        self.figures.run_s += run.end_ps / 1e12
        self.figures.dead_s += run.dead_s
        self._metrics.dead_time.labels(self.link.name).inc(max(0.0, run.dead_s))
        if not run.clean:
            self._log.warn("run_unsafe", link=self.link.name, cause=run.cause)

    def _on_device(self, change: StateChange) -> None:
        self._metrics.device_up.labels(self.link.name, change.device).set(
            change.state is State.READY
        )
        self._emit("device", device=change.device, state=change.state.value, cause=change.cause)
        self._restate()
        if self._session is not None:
            self._session.instruments_changed()

    def _on_connection(self, state: ConnectionState, cause: str) -> None:
        self._emit("connection", state=state.value, cause=cause)
        if cause:
            self._unconnected = cause
            self._restate()

    def _on_link_event(self, kind: str, fields: dict[str, Any]) -> None:
        self._emit(kind.replace("-", "_"), **fields)
        refused = fields.get("error") in REFUSALS or "link files differ" in fields.get("cause", "")
        if refused and self._session is None:
            self._refusal = self._unconnected = fields["cause"]
            self._restate()

    def _on_state(self, before: LinkState, after: LinkState, cause: str) -> None:
        self._metrics.link_state.labels(self.link.name).state(after.value)
        if after is LinkState.KEYING:
            self.figures.begin()
            self.pace.begin()
        tell = self._log.warn if after is LinkState.ALARM else self._log.emit
        tell(
            "link_state",
            link=self.link.name,
            before=before.value,
            after=after.value,
            cause=cause,
        )

    def _emit(self, event: str, **fields: Any) -> None:
        self._log.emit(event, link=self.link.name, **fields)
