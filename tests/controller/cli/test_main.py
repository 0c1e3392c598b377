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


ASKING = [
    ["check", "{file}"],
    ["status", "{file}"],
    ["devices", "show", "{file}"],
    ["devices", "show", "{file}", "pump"],
    ["devices", "set", "{file}", "pump", "current_a=0.05"],
    ["devices", "trace", "{file}", "pump"],
    ["rearm", "{file}", "pump"],
    ["audit", "verify", "{file}"],
]
every_question = pytest.mark.parametrize("command", ASKING, ids=" ".join)


@every_question
@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("nowhere.toml", None, "cannot be read: No such file or directory"),
        ("folder.toml", "", "cannot be read: Is a directory"),
        ("empty.toml", b"", "name: missing"),
        ("tags.toml", bytes(range(128, 256)), "not TOML: 'utf-8' codec can't decode byte 0x80"),
        ("deep.toml", b"a = " + b"[" * 9999, "not TOML: maximum recursion depth exceeded"),
        ("link.toml", CONFIGS / "links/demo.toml", "this is a link file; give the file of a node"),
    ],
)
def test_a_file_that_is_no_node_file_is_told_as_what_it_is(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    name: str,
    content: bytes | str | Path | None,
    told: str,
) -> None:
    path = tmp_path / name
    match content:
        case str():
            path.mkdir()
        case bytes():
            path.write_bytes(content)
        case Path():
            path.write_bytes(content.read_bytes())
    assert main([each.replace("{file}", str(path)) for each in command]) == 1
    first, *_ = lines = capsys.readouterr().err.splitlines()
    assert first.startswith(f"qkd: {path}: {told}")
    assert all(line.startswith(f"qkd: {path}: ") for line in lines)


@every_question
def test_a_node_that_never_ran_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    node = build_site(CONFIGS, tmp_path / "demo").nodes["alice"].config
    status = main([each.replace("{file}", str(node)) for each in command])
    told = capsys.readouterr()
    if command[0] == "check":
        assert (status, told.err) == (0, "")
        return
    (line,) = told.err.splitlines()
    assert status == 1 and told.out == ""
    if command[0] == "audit":
        assert line.endswith("audit.jsonl: there is none; a node makes one when it is started")
    else:
        assert "(No such file or directory); is `qkd node` running?" in line
