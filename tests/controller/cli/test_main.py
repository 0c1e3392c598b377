"""The command as a whole: an error is a line, never a stack trace."""

import json
import stat
from pathlib import Path

import pytest

from qkd_controller.cli import check, node
from qkd_controller.cli.main import main
from qkd_controller.cli.site import build_site

CONFIGS = Path(__file__).parents[3] / "configs"


def test_an_unforeseen_error_is_one_line_and_its_trace_a_private_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(path: Path) -> None:
        raise ExceptionGroup("several", [KeyError("x")])

    monkeypatch.setattr(check, "validate", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["check", "node.toml"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    (trace,) = tmp_path.iterdir()
    assert line.startswith("qkd: unexpected KeyError")
    assert str(trace) in line
    assert stat.S_IMODE(trace.stat().st_mode) == 0o600
    assert "in fail" in trace.read_text()


def test_a_nodes_unforeseen_error_goes_to_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(checked: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(node, "run_node", fail)
    config = build_site(CONFIGS, tmp_path / "demo").nodes["alice"].config
    assert main(["node", str(config)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    log = config.parent / "node.log"
    assert line.startswith("qkd: unexpected ZeroDivisionError")
    assert str(log) in line
    (event,) = map(json.loads, log.read_text().splitlines())
    assert (event["event"], event["error"]) == ("failed", "ZeroDivisionError")


def test_an_interrupt_is_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "validate", interrupt)
    assert main(["check", "node.toml"]) == 130
    assert capsys.readouterr().err == ""
