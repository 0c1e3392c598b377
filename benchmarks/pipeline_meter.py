"""Where the CPU time of a node goes: measured around calls, from outside the code.

Every call into ``qkd_native`` and into TLS is timed with the CPU clock of its thread, and so are
the Python functions that make up a stage; time spent in an inner call counts for that one only.
What is left of the process's time is the event loop and the sockets. What measuring costs, by as
many empty calls, and what the benchmark does itself are told apart and belong to no node.
"""

import functools
import importlib
import pkgutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import qkd_native
from qkd_controller.acquisition.announcing import AnnouncingEnd
from qkd_controller.acquisition.pairing import RunPair
from qkd_controller.acquisition.reference import ReferenceEnd
from qkd_controller.distillation import (
    agreement,
    amplification,
    block,
    cascading,
    decoding,
    sifting,
    workspace,
)
from qkd_controller.link import codec, durable, tls_pipe
from qkd_controller.link.authentication import Conversation
from qkd_native.bits import BitString
from qkd_native.clicks import EventResolver

NATIVE, TLS, PYTHON = "native", "TLS", "Python"
BENCHMARK = "not the node's"
REST = "event loop and sockets"

STAGES: tuple[tuple[Any, str, str], ...] = (
    (block.MatchedBlock, "take_apart", "sift"),
    (block, "sift", "sift"),
    (block, "choose_subset", "choose"),
    (sifting.Subset, "cut", "choose"),
    (BitString, "differing", "estimate"),
    (block, "draw_seed", "amplify"),
    (amplification, "modified_toeplitz_hash", "amplify"),
    (workspace, "wipe", "wipe"),
    (block, "check_release", "check"),
    (cascading, "cascade_plan", "reconcile"),
    (cascading, "first_blocks_plan", "reconcile"),
    (cascading, "FirstBlocks", "reconcile"),
    (cascading.FirstBlocks, "absorb", "reconcile"),
    (cascading, "Corrector", "reconcile"),
    (cascading, "Reference", "reconcile"),
    (cascading, "encode", "reconcile"),
    (cascading, "decode", "reconcile"),
    (cascading.Corrector, "ask", "reconcile"),
    (cascading.Corrector, "absorb", "reconcile"),
    (cascading.Reference, "answer", "reconcile"),
    (decoding.SyndromeCorrector, "absorb", "reconcile"),
    (decoding.SyndromeReference, "answer", "reconcile"),
    (agreement, "confirmation_tag", "confirm"),
    (agreement, "frame_checks", "confirm"),
    (EventResolver, "feed", "dither and clicks"),
    (AnnouncingEnd, "fill", "announce"),
    (AnnouncingEnd, "receive", "take matches"),
    (ReferenceEnd, "fill", "hold events"),
    (ReferenceEnd, "receive", "read times"),
    (ReferenceEnd, "_match", "match"),
    (RunPair, "search", "search"),
    (Conversation, "absorb_sent", "authenticate"),
    (Conversation, "absorb_received", "authenticate"),
    (codec.Codec, "encode", "messages"),
    (codec.Codec, "decode", "messages"),
)
"""Owner, name of the function, stage."""


class _Account(threading.local):
    """One thread's: what it spent by (stage, category), and in whose call it is."""

    def __init__(self, accounts: list[dict[tuple[str, str], int]]) -> None:
        self.spent_ns: dict[tuple[str, str], int] = {}
        self.stage = "authenticate"
        self.inner_ns = 0
        """In calls that the one it is in has made, measuring included."""
        accounts.append(self.spent_ns)


class Meter:
    """CPU seconds by (stage, category) since install()."""

    def __init__(self) -> None:
        self._accounts: list[dict[tuple[str, str], int]] = []
        self._account = _Account(self._accounts)
        self._inside_ns = self._outside_ns = 0
        self._inside_ns, self._outside_ns = self._measured_empty_ns()

    def install(self) -> None:
        """Wraps everything that is timed, once and for the whole process."""
        for owner, name, stage in STAGES:
            if isinstance(owner, type) or hasattr(owner, name):
                setattr(owner, name, self.timed(getattr(owner, name), stage, PYTHON))
        for module in pkgutil.iter_modules(qkd_native.__path__):
            face = importlib.import_module(f"qkd_native.{module.name}")
            if hasattr(face, "lib"):
                face.lib = _Timed(self, face.lib, "", NATIVE)
        begin = tls_pipe.TlsPipe.__init__

        def wrapped(pipe: Any, *args: Any, **kwargs: Any) -> None:
            begin(pipe, *args, **kwargs)
            pipe._tls = _Timed(self, pipe._tls, "TLS", TLS)

        tls_pipe.TlsPipe.__init__ = wrapped  # type: ignore[method-assign]
        run = durable.DurableStore.__init__

        def in_store(store: Any, *args: Any) -> None:
            run(store, *args)
            threads = store._threads
            store._threads = lambda call: threads(self.timed(call, "store", PYTHON))

        durable.DurableStore.__init__ = in_store  # type: ignore[method-assign]

    def snapshot(self) -> dict[str, float]:
        """Seconds by "stage/category", the rest included; their sum is the process's time."""
        spent: Counter[str] = Counter()
        for account in self._accounts:
            for key, ns in account.copy().items():
                spent["/".join(key)] += ns / 1e9
        spent[f"{REST}/{PYTHON}"] = time.process_time() - sum(spent.values())
        return dict(spent)

    def timed(self, function: Callable[..., Any], stage: str, category: str) -> Callable[..., Any]:
        """The function, timed; without a stage of its own it counts for its caller's."""
        account, clock = self._account, time.thread_time_ns
        inside_ns, outside_ns = self._inside_ns, self._outside_ns
        keys: dict[str, tuple[str, str]] = {}
        measuring = ("measuring", BENCHMARK)

        @functools.wraps(function, updated=())
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            outer_stage, outer_ns = account.stage, account.inner_ns
            here = account.stage = stage or outer_stage
            account.inner_ns = 0
            begin = clock()
            try:
                return function(*args, **kwargs)
            finally:
                took = clock() - begin
                spent_ns = account.spent_ns
                key = keys.get(here) or keys.setdefault(here, (here, category))
                spent_ns[key] = spent_ns.get(key, 0) + took - account.inner_ns - inside_ns
                spent_ns[measuring] = spent_ns.get(measuring, 0) + inside_ns + outside_ns
                account.stage, account.inner_ns = outer_stage, outer_ns + took + outside_ns

        return wrapper

    def _measured_empty_ns(self) -> tuple[int, int]:
        """What a timed call that does nothing reports, and what it costs beside; the least seen."""
        calls, seen = 10_000, []
        for _ in range(9):
            empty = self.timed(int, "empty", BENCHMARK)
            begin = time.thread_time_ns()
            for _ in range(calls):
                empty()
            whole_ns = (time.thread_time_ns() - begin) // calls
            inside_ns = self._account.spent_ns.pop(("empty", BENCHMARK)) // calls
            seen.append((whole_ns, inside_ns))
        self._account.spent_ns.clear()
        whole_ns, inside_ns = min(seen)
        return inside_ns, whole_ns - inside_ns


class _Timed:
    """Stands before an object and times the calls of its functions."""

    def __init__(self, meter: Meter, inner: Any, stage: str, category: str) -> None:
        self._about = (meter, inner, stage, category)

    def __getattr__(self, name: str) -> Any:
        meter, inner, stage, category = self._about
        found = getattr(inner, name)
        if callable(found):
            found = meter.timed(found, stage, category)
        setattr(self, name, found)
        return found
