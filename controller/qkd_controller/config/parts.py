"""The sound parts of a configuration file, by their dotted names, and how rules look at them."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Parts = Mapping[str, Any]
"""Every sound setting, table and array of a file by its dotted name; see load.Loaded."""


def broken(parts: Parts, holds: Callable[..., bool], *names: str) -> bool:
    """Whether all these settings are sound and do not hold together."""
    return all(name in parts for name in names) and not holds(*(parts[name] for name in names))


def every(parts: Parts, pattern: str) -> Iterator[tuple[str, Any]]:
    """The sound parts whose names match, where ``[]`` stands for every index."""
    return ((name, value) for name, value in parts.items() if unindexed(name) == pattern)


def link_ends(parts: Parts) -> list[str]:
    """The names of all link ends of a node file, in order, also of faulty ones."""
    indices = {int(found[1]) for name in parts if (found := re.match(r"links\[(\d+)\]", name))}
    return [f"links[{index}]" for index in sorted(indices)]


def unindexed(name: str) -> str:
    """A dotted name with ``[]`` for every index."""
    return re.sub(r"\[\d+\]", "[]", name)
