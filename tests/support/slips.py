"""Configuration files with slips: settings that are replaced, doubled, renamed or taken out."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

ODD: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([-1, 0, 1, 3, 70_000, 2**31, 2**70, -0.5, 0.5, 1e-300, 1e9, 1e308, -1e308]),
    st.sampled_from([float("nan"), float("inf"), float("-inf"), True, "", "a/b", "alice", "\0"]),
    st.sampled_from([[], [3], {}, {"name": 3}, {"do": "kick", "time_s": 0}, [[]], [{}]]),
    st.integers(),
    st.floats(),
    st.text(max_size=9),
)


@st.composite
def with_slips(draw: Callable[[Any], Any], document: dict[str, Any]) -> str:
    """TOML text of a document in which up to three things are wrong, or only unusual."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from(list(_places(document))))
        table: Any = document
        for key in path:
            table = table[key]
        match draw(st.sampled_from(["replace", "replace", "replace", "drop", "rename", "twice"])):
            case "replace":
                table[last] = copy.deepcopy(draw(ODD))  # a later slip may change it
            case "drop":
                del table[last]
            case "rename" if isinstance(table, dict):
                table[draw(st.text(min_size=1, max_size=9))] = table.pop(last)
            case "twice" if isinstance(table, list):
                table.append(copy.deepcopy(table[last]))
    return "\n".join(f"{_toml(key)} = {_toml(value)}" for key, value in document.items())


@st.composite
def with_a_slip_of_the_pen(draw: Callable[[Any], Any], text: str) -> str:
    """Text in which some characters stand in the place of some others."""
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.text(max_size=3)) + text[at + draw(st.integers(0, 3)) :]


def _places(value: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """The path of every value in tables and arrays."""
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, key)
        if isinstance(each, dict | list):
            yield from _places(each, *path, key)


def _toml(value: Any) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{_toml(k)} = {_toml(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")
