"""A latch forgets nothing that keeps light off, whatever happens to its file."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_controller.devices import Latch
from qkd_drivers.errors import DeviceError

CALLS = ("light", "dark", "rearm", "lapse")
WORDS = st.lists(st.sampled_from([*CALLS, "too warm", "interlock: °C"]))


def say(latch: Latch, word: str) -> None:
    if word in CALLS:
        getattr(latch, word)()
    else:
        latch.hold(word)


@given(WORDS)
def test_a_restart_finds_what_was_last_known_but_no_rearming(words: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "new", "pump.json")
        latch = Latch(path)
        for word in words:
            say(latch, word)
            found = Latch(path)
            assert (found.lit, found.trip) == (latch.lit, latch.trip)
            assert not found.rearmed


@given(WORDS)
def test_a_trip_ends_with_the_operators_word_alone(words: list[str]) -> None:
    latch, trip, rearmed = Latch(), "", False
    for word in words:
        say(latch, word)
        if word == "rearm":
            trip, rearmed = "", True
        elif word != "dark":
            rearmed = False  # used up by light, void after another trip and another connection
            trip = trip if word in CALLS else word
        assert (latch.trip, latch.rearmed) == (trip, rearmed)


@pytest.mark.parametrize("content", [b"", b"{", b'{"lit": 1}', b'{"trips": ""}'])
def test_a_file_that_cannot_be_read_is_a_trip(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pump.json"
    path.write_bytes(content)
    latch = Latch(path)
    assert str(path) in latch.trip
    latch.rearm()
    assert Latch(path).trip == latch.trip == ""


def test_folders_are_made_for_the_node_alone(tmp_path: Path) -> None:
    latch = Latch(tmp_path / "latches" / "lab" / "pump.json")
    latch.light()
    for folder in (tmp_path / "latches", tmp_path / "latches" / "lab"):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_what_cannot_be_kept_lets_no_light_on(tmp_path: Path) -> None:
    path = tmp_path / "latches" / "pump.json"
    path.parent.write_text("no folder")
    latch = Latch(path)
    for _ in range(2):
        with pytest.raises(DeviceError, match=r"pump\.json cannot be written .* no light goes on"):
            latch.light()
    assert not latch.lit
    latch.hold("the interlock was opened")
    assert latch.trip.startswith("the interlock was opened; a restart forgets this")
    latch.rearm()
    assert latch.trip == "" and latch.rearmed
