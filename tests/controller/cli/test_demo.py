"""How a demo ends: its last words, its exit status, and nothing left behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qkd_controller.cli.demo import _Drawn, _verdict
from qkd_controller.cli.main import main
from qkd_controller.cli.processes import PortTaken, failed, last_line
from qkd_controller.cli.site import claimed


@pytest.mark.parametrize(
    ("drawn", "duration_s", "interrupted", "status", "said", "complained"),
    [
        (_Drawn(3), 60, False, 0, "3 keys drawn at both ends, all matched", ""),
        (_Drawn(1), 60, False, 0, "1 key drawn at both ends, and it matched", ""),
        (_Drawn(0), 60, False, 1, "no key was drawn", "no key within 60 s"),
        (_Drawn(0), 60, True, 130, "no key was drawn", "interrupted after 12 s of 60 s"),
        (_Drawn(2), 60, True, 130, "2 keys", "interrupted after 12 s of 60 s"),
        (_Drawn(0), 0, True, 0, "no key was drawn", ""),
        (_Drawn(2), 0, True, 0, "2 keys", ""),
        (_Drawn(2, 1), 0, True, 1, "", "1 key did not match"),
    ],
)
def test_last_words_and_exit_status(
    capsys: pytest.CaptureFixture[str],
    drawn: _Drawn,
    duration_s: float,
    interrupted: bool,
    status: int,
    said: str,
    complained: str,
) -> None:
    assert _verdict(drawn, duration_s, 12.3, interrupted, Path("run/demo")) == status
    shown = capsys.readouterr()
    assert said in shown.out
    assert complained in shown.err
    assert bool(complained) == bool(shown.err)


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "soon"])
def test_a_duration_is_a_finite_time(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["demo", f"--duration={text}"])
    assert "--duration" in capsys.readouterr().err


def test_a_second_demo_in_a_directory_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with claimed(tmp_path / "demo"):
        assert main(["demo", "--dir", str(tmp_path / "demo")]) == 1
    assert "a demo runs in" in capsys.readouterr().err


def test_a_failed_process_is_told_by_its_last_line(tmp_path: Path) -> None:
    errors = tmp_path / "node.err"
    assert last_line(errors) == ""
    errors.write_text("qkd: first\nqkd: delivery: address already in use\n\n")
    error = failed("alice ended", last_line(errors), errors)
    assert str(error) == "alice ended: delivery: address already in use"
    assert isinstance(error, PortTaken)
    assert not isinstance(failed("alice ended", "", errors), PortTaken)
    assert str(errors) in str(failed("alice ended", "", errors))


def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    """Even if the parent is killed."""
    (tmp_path / "sleeper.py").write_text("import time\nprint('up', flush=True)\ntime.sleep(99)")
    parent = (
        "import os, subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-m', 'qkd_controller.cli.child', str(os.getpid()),"
        " 'sleeper'])\n"
        "time.sleep(99)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.kill()
        # The pipe ends when its last writer, the child, has ended.
        assert process.stdout.read() == b""
