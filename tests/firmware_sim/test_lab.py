"""Lab files: good ones load, bad ones say what is wrong, where, and what would be right."""

import asyncio
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from slips import with_a_slip_of_the_pen, with_slips

from qkd_firmware_sim import actions
from qkd_firmware_sim.bench import Bench
from qkd_firmware_sim.lab import LabError, load, parse
from qkd_firmware_sim.main import main
from qkd_firmware_sim.world import World

DEMO = Path(__file__).parents[2] / "configs" / "labs" / "demo.toml"
PUMP = "[[instruments]]\nname='pump'\nmodel='thorlabs-itc4000'\n"
OVEN = "[[instruments]]\nname='oven'\nmodel='s15-spdc'\n"
METER = "[[instruments]]\nname='m'\nmodel='thorlabs-pm100d'\n"
TAGGER = "[[instruments]]\nname='tagger'\nmodel='s15-tdc1'\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = 'a'", r"^seed = 'a': expected `int`, got `str`$"),
        ("seed = -1", "^seed = -1: expected `int` >= 0$"),
        ("seed = 99999999999999999999999", "^seed = 9+: expected `int` <= "),
        ("sed = 1", r"^sed: no such setting; did you mean seed\?$"),
        ("[fibre]\nroom = 1", "^fibre.room: no such setting; known are rotation_rad, "),
        ("speed = 0", "^speed = 0: expected `float` >= 0.001$"),
        ("speed = nan", "^speed = nan: expected `float` >= 0.001$"),
        ("source = 3", "^source: expected a table, found 3$"),
        ("instruments = 3", "^instruments: expected an array, found 3$"),
        ("at = 3", "^at: expected an array, found 3$"),
        ("at = [3]", r"^at\[0\]: expected a table, found 3$"),
        ("events = []", "^events: no such setting"),
        ('runtime_dir = "a\\u0000"', "^runtime_dir: a path has no zero byte"),
        (
            "[source]\npairs_per_s_per_a = -1",
            "^source.pairs_per_s_per_a = -1: expected `float` > 0",
        ),
        ("[fibre]\nrotation_rad = [1, 2]", r"^fibre.rotation_rad = \[1, 2\]: expected `array` of"),
        (
            "[fibre]\nrotation_rad = [1, 2, nan]",
            r"^fibre.rotation_rad = .*: expected `float` .*\[2\]`$",
        ),
        ("[ends.carol]", r"^ends.carol: no such setting; known are alice, bob$"),
        ("[ends.bob]\nloss_db = -3", "^ends.bob.loss_db = -3: expected `float` >= 0.0$"),
        ("[ends.bob.clock]\noffset_ms = '1'", "^ends.bob.clock.offset_ms = '1': expected `float`"),
        ("[[instruments]]\nmodel='s15-spdc'", r"^instruments\[0\].name: missing$"),
        (
            "[[instruments]]\nname='a'\nmodel='x'",
            r"^instruments\[0\] \(a\).model = 'x': is not simulated; choose from cobolt-06, ",
        ),
        ("[[instruments]]\nname='a b'\nmodel='s15-tdc1'", "'a b': cannot be the name of"),
        ("[[instruments]]\nname='.a'\nmodel='s15-tdc1'", "'.a': cannot be the name of"),
        ("[[instruments]]\nname='control.sock'\nmodel='s15-tdc1'", "kept for the control socket"),
        ("[[instruments]]\nname='a'\nmodel='s15-spd'", r"\(a\).detector: a detector needs its num"),
        (
            "[[instruments]]\nname='a'\nmodel='s15-spd'\ndetector=5",
            r"detector = 5: expected .*<= 4",
        ),
        ("[[instruments]]\nname='a'\nmodel='s15-tdc1'\nend='eve'", r"\(a\).end = 'eve': invalid"),
        (METER + METER, r"^instruments\[1\] \(m\).name: is that of instruments\[0\] \(m\) already"),
        (TAGGER + TAGGER.replace("tagger", "b"), r"\(b\): its place .* taken by .*\(tagger\)"),
        (OVEN.replace("s15-spdc", "qubitekk-qes") + OVEN.replace("oven", "b"), r"\(b\): its place"),
        (PUMP + "tcp_port = 65536", r"\(pump\).tcp_port = 65536: expected `int` <= 65535$"),
        (PUMP + "tcp_port = 5000\nhislip_port = 5000", "hislip_port = 5000: port 5000 is taken by"),
        (OVEN + "tcp_port = 5000", r"\(oven\).tcp_port: s15-spdc hangs on pty; leave it out$"),
        (PUMP + "baud = 9600", r"\(pump\).baud: thorlabs-itc4000 hangs on tcp and hislip; leave"),
        (
            "[[instruments]]\nname='eos'\nmodel='single-quantum-websq'\ntcp_port=65500",
            "tcp_port = 65500: the port of its counts would be 65845; choose a lower one",
        ),
        (OVEN + "baud = 0", r"\(oven\).baud = 0: expected `int` >= 50"),
        ("[[at]]\ntime_s=1\ndo='dance'", r"^at\[0\] \(dance\).do = 'dance': choose from attack, "),
        ("[[at]]\ntime_s=1\ndo=[]", r"^at\[0\].do = \[\]: choose from attack, "),
        ("[[at]]\ndo='attack'\nfraction=1", r"^at\[0\] \(attack\).time_s: missing$"),
        ("[[at]]\ntime_s=-1\ndo='status'", r"time_s = -1: expected `float` >= 0.0$"),
        ("[[at]]\ntime_s=1\ndo='attack'", r"^at\[0\] \(attack\).fraction: missing$"),
        ("[[at]]\ntime_s=1\ndo='attack'\nfraction=2", r"fraction = 2: expected `float` <= 1.0$"),
        (
            "[[at]]\ntime_s=1\ndo='attack'\nfraction=1\nfaction=1",
            r"faction: no such setting; did you mean fra",
        ),
        ("[[at]]\ntime_s=1\ndo='clock_step'\nend='bob'\nstep_ns=inf", "step_ns = inf: expected"),
        ("seed = ", "^not TOML: Invalid value"),
        ("a = " + "[" * 5000, "^not TOML: "),
        ("a = " + "9" * 5000, "^not TOML: "),
    ],
)
def test_a_bad_lab_file_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(LabError, match=message) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_every_fault_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line each, beginning with the path."""
    path = tmp_path / "lab.toml"
    path.write_text("speed = 0\n[source]\nvisibility = 2\n[[at]]\ntime_s = 1\ndo = 'loss'\n")
    assert main([str(path)]) == 2
    told = capsys.readouterr().err.splitlines()
    wheres = ("speed = 0", "source.visibility = 2", "at[0] (loss).loss_db")
    assert len(told) == 3
    for line, where in zip(told, wheres, strict=True):
        assert line.startswith(f"qkd-sim: {path}: {where}: ")


def test_what_is_no_lab_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"nowhere\.toml: No such file"):
        load(tmp_path / "nowhere.toml")
    with pytest.raises(LabError, match=f"{tmp_path}: Is a directory"):
        load(tmp_path)
    (tmp_path / "tags").write_bytes(b"\xff\x00")
    with pytest.raises(LabError, match="tags is not UTF-8 text"):
        load(tmp_path / "tags")


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("do='latch'\ndevice='nobody'", "there is no device 'nobody'; this lab has pump, oven"),
        ("do='wire'\ndevice='nobody'\nfault='cut'", "there is no device 'nobody'"),
        ("do='wire'\ndevice='oven'\nfault='gone'", "'gone' is no fault of a wire; choose from "),
        ("do='wire'\ndevice='oven'\nfault='slam'", "'slam' happens on .*, not on pty"),
        ("do='interlock'\ndevice='oven'", "oven is a SpdcDriver, to which that cannot happen"),
        ("do='slow'\ndevice='pump'\nfactor=2", "pump is a Itc4000, to which that cannot happen"),
    ],
)
async def test_an_event_that_cannot_be_is_refused_before_the_lab_is_up(
    tmp_path: Path, event: str, message: str
) -> None:
    lab = parse(PUMP + OVEN + f"[[at]]\ntime_s=0\ndo='status'\n[[at]]\ntime_s=7.5\n{event}\n")
    with pytest.raises(LabError, match=rf"^at\[1\], time_s = 7.5: {message}"):
        async with Bench(lab, tmp_path / "lab"):
            pass
    assert not (tmp_path / "lab").exists()


def test_events_are_the_actions_of_the_control_socket() -> None:
    lab = parse("[[at]]\ntime_s = 2.5\ndo = 'attack'\nfraction = 0.5\n")
    assert lab.events[0].time_s == 2.5
    assert lab.events[0].action == actions.Attack(0.5)


def test_help_names_every_action_and_every_fault() -> None:
    text = actions.help_text()
    for tag in actions.ACTIONS:
        assert f"  {tag} " in text
    assert "  truncate " in text


EVENTS = """
at = [
    { time_s = 0.0, do = "attack", fraction = 0.5 },
    { time_s = 0.0, do = "clock_step", end = "bob", step_ns = 40.0, error_ppm = 1.0 },
    { time_s = 0.0, do = "loss", loss_db = 3.0, end = "bob" },
    { time_s = 0.0, do = "kick", rotation_rad = [0.1, 0.2, 0.3] },
    { time_s = 0.0, do = "warm", device = "alice-spd-1", kelvin = 5.0 },
    { time_s = 0.0, do = "wire", device = "epc", fault = "split", size = 2, delay_s = 0.1 },
    { time_s = 0.0, do = "swap", device = "oven", identity = "another" },
]
"""
SPICED = tomllib.loads(EVENTS + DEMO.read_text())


@given(text=with_slips(SPICED))
@settings(max_examples=300, deadline=None)
def test_whatever_a_lab_file_says_it_is_refused_in_words_or_it_runs(text: str) -> None:
    try:
        runs(text)
    except LabError as error:
        assert all(": " in line for line in str(error).split("\n"))


@given(text=with_a_slip_of_the_pen(DEMO.read_text()))
@settings(max_examples=100, deadline=None)
def test_a_lab_file_with_a_slip_of_the_pen_is_refused_in_words_or_runs(text: str) -> None:
    try:
        runs(text)
    except LabError as error:
        assert str(error)


def runs(text: str) -> None:
    """Lets a lab's time pass, with light on and tags taken; raises LabError as `qkd-sim` would."""
    lab = parse(text)

    async def rehearse() -> None:
        await Bench(lab, Path("nowhere"))._rehearse()

    asyncio.run(rehearse())
    world = World(lab)
    for core in world.cores.values():
        session: Any = core.session()
        session.receive(b"OUTP2 ON;:SOUR:CURR 0.06;:OUTP1 ON\n")
        session.receive(b"power 1;hrate 1;hsettemp 45;hloop 1;")
        session.receive(b"settemp -10;loop 1;hvolt 195;threshvolt 0.2;")
        session.receive(b"*RST;NIM;time 0;timestamp;counts?;")
    for event in lab.events:
        world.act(event.action)
        world.tick()
        world.status()
