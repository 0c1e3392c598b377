"""A node's memory never reaches a file."""

import subprocess
import sys

CRASH = """
import ctypes, resource
from qkd_controller.node.memory import forbid_core_dumps
forbid_core_dumps()
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


def test_a_crash_would_dump_nothing() -> None:
    run = subprocess.run([sys.executable, "-c", CRASH], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "(0, 0) 0"
