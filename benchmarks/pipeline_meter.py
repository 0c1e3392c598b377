"""Where the CPU time of a node goes: measured around calls, from outside the code.

Every call into ``qkd_native`` and into TLS is timed with the CPU clock of its thread, and so are
the Python functions that make up a stage; time spent in an inner call counts for that one only.
What is left of the process's time is the event loop and the sockets. The meter's own time is in
all of these; it is estimated from the number of calls.
"""

import functools
import importlib
import pkgutil
import threading
import time
from collections import defaultdict
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
from qkd_controller.node import matching
from qkd_native.bits import BitString
from qkd_native.clicks import EventResolver

NATIVE, TLS, PYTHON, OWN = "native", "TLS", "Python", "benchmark"
REST = "event loop and sockets"

STAGES: tuple[tuple[Any, str, str], ...] = (
    (block.MatchedBlock, "take_apart", "sift"),
    (block, "sift", "sift"),
    (block, "choose_subset", "choose"),
    (sifting.Subset, "cut", "choose"),
    (BitString, "differing", "estimate"),
    (block, "draw_seed", "amplify"),
    (amplification, "toeplitz_hash", "amplify"),
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
    (matching.EventSource, "_dithered", "dither"),
    (EventResolver, "feed", "clicks"),
    (AnnouncingEnd, "add", "announce"),
    (AnnouncingEnd, "receive", "take matches"),
    (ReferenceEnd, "add", "hold events"),
    (ReferenceEnd, "receive", "read times"),
    (ReferenceEnd, "_match", "match"),
    (RunPair, "search", "search"),
    (Conversation, "absorb_sent", "authenticate"),
    (Conversation, "absorb_received", "authenticate"),
    (codec.Codec, "encode", "messages"),
    (codec.Codec, "decode", "messages"),
)
"""Owner, name of the function, stage."""


class _Thread:
    """What one thread has spent, and the stage and inner time of the call that it is in."""

    def __init__(self) -> None:
        self.spent_ns: dict[tuple[str, str], int] = defaultdict(int)
        self.calls = 0
        self.frame: list[Any] | None = None


class Meter:
    """CPU seconds by (stage, category) since install()."""

    def __init__(self) -> None:
        self._threads: list[_Thread] = []
        self._local = threading.local()

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
        spent: dict[str, float] = defaultdict(float)
        for thread in self._threads:
            for key, ns in list(thread.spent_ns.items()):
                spent["/".join(key)] += ns / 1e9
        spent[f"{REST}/{PYTHON}"] = time.process_time() - sum(spent.values())
        return dict(spent)

    @property
    def calls(self) -> int:
        """How many calls were timed so far."""
        return sum(thread.calls for thread in self._threads)

    def cost_s(self) -> float:
        """What timing one call costs: many calls of a function that does nothing."""
        nothing, calls = Meter().timed(int, "", PYTHON), 10_000
        begin = time.thread_time_ns()
        for _ in range(calls):
            nothing()
        return (time.thread_time_ns() - begin) / 1e9 / calls

    def _thread(self) -> "_Thread":
        """What this thread counts by itself, without a lock."""
        try:
            thread: _Thread = self._local.thread
        except AttributeError:
            thread = self._local.thread = _Thread()
            self._threads.append(thread)
        return thread

    def timed(self, function: Callable[..., Any], stage: str, category: str) -> Callable[..., Any]:
        """The function, timed; without a stage of its own it counts for its caller's."""
        this_thread, clock = self._thread, time.thread_time_ns

        @functools.wraps(function, updated=())
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            thread = this_thread()
            outer = thread.frame
            frame = thread.frame = [stage or (outer[0] if outer else "authenticate"), 0]
            begin = clock()
            try:
                return function(*args, **kwargs)
            finally:
                spent = clock() - begin
                thread.frame = outer
                thread.calls += 1
                if outer is not None:
                    outer[1] += spent
                thread.spent_ns[frame[0], category] += spent - frame[1]

        return wrapper


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
