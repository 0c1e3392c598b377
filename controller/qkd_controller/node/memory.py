"""What the system does with the memory of a process that holds keys and runs for years."""

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4
_M_ARENA_MAX = -8


def forbid_core_dumps() -> None:
    """A crash of this process writes no memory anywhere, and no debugger of this user attaches.

    The limit alone does not stop a core handler that the kernel pipes to (core(5)), so the process
    is also made undumpable where the system can (prctl(2)).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def share_free_memory() -> None:
    """What one thread has freed serves the others; to be called before there are any (mallopt(3)).

    glibc otherwise gives each thread a heap of its own, which keeps the most that this thread ever
    used: large arrays come and go in whichever worker is free, and so the process would grow to a
    multiple of what it ever needs. Allocation is rare enough for one lock.
    """
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 1)
