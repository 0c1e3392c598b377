"""One node: its link ends, its key store, its endpoints."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import start_http_server

from qkd_controller.config.check import split_address
from qkd_controller.config.errors import ConfigError, QkdError, first_error
from qkd_controller.delivery.server import DeliveryServer, Event, KeysDelivered, StrangerRefused
from qkd_controller.devices import ChangeKept
from qkd_controller.keys.contract import Direction
from qkd_controller.keys.link_store import SqliteLinkStore, open_link
from qkd_controller.keys.pool import KeyPool
from qkd_controller.keys.store import KeyStore
from qkd_controller.node.auditing import Auditor
from qkd_controller.node.link_end import LinkRuntime
from qkd_controller.node.memory import forbid_core_dumps, share_free_memory
from qkd_controller.node.operator import Done, Kept, RequestDeclined, serve_operator
from qkd_controller.node.snapshot import (
    StoredFigures,
    export,
    link_status,
    pad_left,
    process_figures,
)
from qkd_controller.node.state import LinkState
from qkd_controller.node.status import NodeStatus
from qkd_controller.node.validation import Checked
from qkd_controller.telemetry.audit import AuditLog
from qkd_controller.telemetry.events import EventLog
from qkd_controller.telemetry.metrics import Metrics
from qkd_drivers.framing import Trace

STORED_EVERY_S = 0.5
VERSION = version("qkdlink")


async def run_node(checked: Checked) -> None:
    """Runs the node until SIGINT, SIGTERM or SIGHUP; raises QkdError if it cannot run."""
    forbid_core_dumps()
    share_free_memory()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # With nohup the node is meant to outlive its terminal.
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, stop.set)
    node = checked.node
    log = EventLog(node.name, node.telemetry.log_file)
    log.capture_logging()
    try:
        state_dir = Path(node.state_dir)
        with (
            KeyStore(state_dir) as store,
            contextlib.closing(AuditLog(state_dir, node.name)) as audit,
        ):
            await Node(checked, store, log, audit).run(stop)
    except* QkdError as errors:
        raise first_error(errors) from None
    finally:
        log.close()


class Node:
    """Everything that runs in one node's process."""

    def __init__(self, checked: Checked, store: KeyStore, log: EventLog, audit: AuditLog) -> None:
        node = checked.node
        self._config = node
        self._log = log
        self._auditor = Auditor(audit, log)
        self._metrics = Metrics(node.name, VERSION, [state.value for state in LinkState])
        self._started_utc_s = time.time()
        self._delivered = 0
        self._links: list[LinkRuntime] = []
        self._pools: list[KeyPool] = []
        self._stored: list[StoredFigures] = []
        self._fates: set[asyncio.Task[None]] = set()
        for end, link in zip(node.links, checked.links, strict=True):
            link_store = open_link(store, link, node.name)
            pool = KeyPool(link_store, link_store.own_half)
            self._links.append(LinkRuntime(node, end, link, link_store, log, self._metrics))
            self._pools.append(pool)
            self._stored.append(_stored(self._links[-1], pool, link_store))

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until stop is set; then everything is brought to rest."""
        # One pair of applications is served from one pool; the first link's.
        delivery = DeliveryServer(
            self._config.delivery, self._config.tls, self._pools[0], self._on_delivery
        )
        status_socket = Path(self._config.status_socket)
        async with delivery, serve_operator(status_socket, self):
            with self._metrics_endpoint():
                self._log.emit("node_started", version=VERSION)
                try:
                    async with asyncio.TaskGroup() as group:
                        tasks = [group.create_task(runtime.run()) for runtime in self._links]
                        tasks.append(group.create_task(self._follow_store()))
                        await stop.wait()
                        for task in tasks:
                            task.cancel()
                finally:
                    await asyncio.gather(*self._fates)
                self._log.emit("node_stopped")

    def status(self) -> NodeStatus:
        """The snapshot of this moment."""
        process_id, cpu_s = process_figures()
        return NodeStatus(
            node=self._config.name,
            version=VERSION,
            utc_s=time.time(),
            started_utc_s=self._started_utc_s,
            process_id=process_id,
            cpu_s=cpu_s,
            tasks=len(asyncio.all_tasks()),
            delivery_address=self._config.delivery.address,
            keys_delivered=self._delivered,
            links=tuple(
                link_status(runtime, stored)
                for runtime, stored in zip(self._links, self._stored, strict=True)
            ),
            events=list(self._log.latest),
        )

    async def rearm(self, device: str, user_id: int) -> None:
        """Re-arms a tripped device of any link; raises RequestDeclined."""
        async with self._auditor.asked("rearm", user_id, device=device):
            self._with_device(device).rearm(device)

    async def set(self, device: str, changes: dict[str, Any], user_id: int) -> Done | Kept:
        """Changes a device's set-points and waits until it is there; raises RequestDeclined.

        What a device that is away cannot hold yet is kept; what becomes of it is recorded too.
        """
        before = self._set_points(device)
        told = {key: {"from": before.get(key), "to": value} for key, value in changes.items()}
        try:
            async with self._auditor.asked("set", user_id, device=device, changes=told):
                await self._with_device(device).set(device, changes)
        except ChangeKept as kept:
            fate = asyncio.create_task(
                self._auditor.fate(kept, "set", user_id, device=device, changes=told)
            )
            self._fates.add(fate)
            fate.add_done_callback(self._fates.discard)
            return Kept(str(kept))
        return Done()

    def trace(self, device: str, sink: Trace) -> AbstractContextManager[None]:
        """Tells sink what goes over a device's wire; raises RequestDeclined."""
        return self._with_device(device).instruments.actors[device].trace.to(sink)

    def _with_device(self, device: str) -> LinkRuntime:
        for runtime in self._links:
            if device in runtime.instruments.actors:
                return runtime
        names = ", ".join(name for r in self._links for name in r.instruments.actors)
        raise RequestDeclined(f"there is no device {device}; there are {names}")

    def _set_points(self, device: str) -> dict[str, Any]:
        for runtime in self._links:
            if device in runtime.instruments.actors:
                held = msgspec.to_builtins(runtime.instruments.actors[device].set_points)
                return dict(held)
        return {}

    async def _follow_store(self) -> None:
        """Keeps what the store says fresh without touching the disk for each snapshot."""
        while True:
            for i, (runtime, pool) in enumerate(zip(self._links, self._pools, strict=True)):
                read = partial(_stored, runtime, pool, runtime.store)
                self._stored[i] = await runtime.store.in_thread(read)
                export(link_status(runtime, self._stored[i]), self._metrics)
            await asyncio.sleep(STORED_EVERY_S)

    def _on_delivery(self, event: Event) -> None:
        if isinstance(event, KeysDelivered):
            self._delivered += event.number
            self._metrics.delivered.labels(event.method).inc(event.number)
            self._log.emit(
                "keys_delivered",
                method=event.method,
                master=event.master,
                slave=event.slave,
                number=event.number,
                key_bits=event.key_bits,
            )
        elif isinstance(event, StrangerRefused):
            self._log.warn("delivery_refused", address=event.address, cause=event.cause)
        else:
            self._log.emit(
                "request_refused",
                caller=event.caller,
                path=event.path,
                status=event.status,
                message=event.message,
            )

    @contextlib.contextmanager
    def _metrics_endpoint(self) -> Iterator[None]:
        address = self._config.telemetry.metrics_address
        if not address:
            yield
            return
        host, port = split_address(address)
        try:
            server, thread = start_http_server(port, host, self._metrics.registry)
        except OSError as error:
            raise ConfigError(
                [f"telemetry.metrics_address: {address} cannot be used: {error.strerror}"]
            ) from None
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _stored(runtime: LinkRuntime, pool: KeyPool, store: SqliteLinkStore) -> StoredFigures:
    return StoredFigures(
        pool.status(),
        (
            pad_left(runtime, Direction.LEADER_TO_FOLLOWER),
            pad_left(runtime, Direction.FOLLOWER_TO_LEADER),
        ),
        store.accumulated_epsilon(),
    )
