"""A node's memory never reaches a file, and does not grow with its threads."""

import platform
import subprocess
import sys

import pytest

CRASH = """
import ctypes, resource
from qkd_controller.node.memory import forbid_core_dumps
forbid_core_dumps()
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


def test_a_crash_would_dump_nothing() -> None:
    run = subprocess.run([sys.executable, "-c", CRASH], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "(0, 0) 0"


THREADS = """
import ctypes, sys, threading
from qkd_controller.node.memory import share_free_memory
if sys.argv[1] == "shared":
    share_free_memory()
together = threading.Barrier(4)

def work():
    ctypes.CDLL(None).malloc(1000)
    together.wait()

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
stream = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, stream)
libc.fflush(stream)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has heaps for threads")
def test_threads_share_one_heap() -> None:
    heaps = {}
    for how in ("shared", "apart"):
        run = subprocess.run(
            [sys.executable, "-c", THREADS, how], capture_output=True, text=True, check=True
        )
        heaps[how] = run.stdout.count("<heap nr=")
    assert heaps["shared"] == 1 < heaps["apart"]
