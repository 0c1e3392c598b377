"""Keeps the memory of a process that holds keys out of files."""

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4


def forbid_core_dumps() -> None:
    """A crash of this process writes no memory anywhere, and no debugger of this user attaches.

    The limit alone does not stop a core handler that the kernel pipes to (core(5)), so the process
    is also made undumpable where the system can (prctl(2)).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
