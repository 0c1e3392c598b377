"""Where the CPU time of a node goes: measured around calls, from outside the code.

Every call into ``qkd_native`` and into TLS is timed with the CPU clock of its thread, and so are
the Python functions that make up a stage; time spent in an inner call counts for that one only.
What is left of the process's time is the event loop and the sockets.
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
from qkd_controller.distillation import agreement, block, cascading, decoding, sifting
from qkd_controller.link import codec, durable, tls_pipe
from qkd_controller.link.authentication import Conversation
from qkd_native.clicks import EventResolver
from qkd_native.dither import Dither

NATIVE, TLS, PYTHON = "native", "TLS", "Python"
REST = "event loop and sockets"

STAGES: tuple[tuple[Any, str, str], ...] = (
    (block, "pack_bases", "sift"),
    (block, "unpack_bases", "sift"),
    (block, "sift", "sift"),
    (block, "choose_subset", "choose"),
    (sifting.Subset, "pick", "choose"),
    (block, "pack_bits", "estimate"),
    (block, "corrections", "estimate"),
    (block, "draw_seed", "amplify"),
    (block, "amplify", "amplify"),
    (block, "check_release", "check"),
    (cascading, "cascade_plan", "reconcile"),
    (cascading, "FirstBlocks", "reconcile"),
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
    (Dither, "add", "dither"),
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


class Meter:
    """CPU seconds by (stage, category) since install()."""

    def __init__(self) -> None:
        self._spent_ns: Counter[tuple[str, str]] = Counter()
        self._thread = threading.local()
        self._lock = threading.Lock()

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
        with self._lock:
            spent = {"/".join(key): ns / 1e9 for key, ns in self._spent_ns.items()}
        spent[f"{REST}/{PYTHON}"] = time.process_time() - sum(spent.values())
        return spent

    def timed(self, function: Callable[..., Any], stage: str, category: str) -> Callable[..., Any]:
        """The function, timed; without a stage of its own it counts for its caller's."""
        thread, spent_ns, lock = self._thread, self._spent_ns, self._lock

        @functools.wraps(function, updated=())
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            outer = getattr(thread, "frame", None)
            frame = thread.frame = [stage or (outer[0] if outer else "authenticate"), 0]
            begin = time.thread_time_ns()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.thread_time_ns() - begin
                thread.frame = outer
                if outer is not None:
                    outer[1] += spent
                with lock:
                    spent_ns[frame[0], category] += spent - frame[1]

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
