"""TOML tables to typed sections, with every fault by its table and key."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_origin

import msgspec

_LONGEST_VALUE = 60


class Reading:
    """One pass over a file. What it gives is of use only while ``faults``, its lines, is empty."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def convert(self, value: Any, kind: Any, where: str) -> Any:
        """The value as this type; None, and a line in ``faults``, if it cannot be."""
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self.table(value, kind, where)
        if get_origin(kind) is dict:
            names, item = get_args(kind)
            if (entries := self._entries(value, get_args(names), where)) is None:
                return None
            return {k: self.convert(v, item, _below(where, k)) for k, v in entries.items()}
        if get_origin(kind) is tuple and get_args(kind)[1:] == (Ellipsis,):
            if not isinstance(value, list):
                self.fault(where, f"expected an array, found {_shown(value)}")
                return None
            item = get_args(kind)[0]
            return tuple(self.convert(v, item, _numbered(where, i, v)) for i, v in enumerate(value))
        return self._setting(value, kind, where)

    def table(self, value: Any, kind: type[msgspec.Struct], where: str) -> Any:
        """A table as a struct."""
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        if (entries := self._entries(value, fields, where)) is None:
            return None
        for name, field in fields.items():
            if field.required and name not in entries:
                self.fault(_below(where, name), "missing")
        known = {
            field.name: self.convert(entries[name], field.type, _below(where, name))
            for name, field in fields.items()
            if name in entries
        }
        return None if self.faults else kind(**known)

    def fault(self, where: str, what: str) -> None:
        """Notes a fault."""
        self.faults.append(f"{where}: {what}" if where else what)

    def _entries(self, value: Any, names: Iterable[str], where: str) -> Mapping[str, Any] | None:
        """What a table has of these names; the others are faults."""
        if not isinstance(value, dict):
            self.fault(where, f"expected a table, found {_shown(value)}")
            return None
        known = list(names)
        for name in (name for name in value if name not in known):
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
            self.fault(_below(where, name), f"no such setting; {hint}")
        return {name: each for name, each in value.items() if name in known}

    def _setting(self, value: Any, kind: Any, where: str) -> Any:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            self.fault(f"{where} = {_shown(value)}", f"{str(error)[0].lower()}{str(error)[1:]}")
            return None


def numbered(where: str, index: int, name: object) -> str:
    """A table in an array, by its number and, where it has one, its name."""
    return f"{where}[{index}] ({_told(name)})" if isinstance(name, str) else f"{where}[{index}]"


def _numbered(where: str, index: int, value: Any) -> str:
    has_name = isinstance(value, dict)
    return numbered(where, index, value.get("name", value.get("do")) if has_name else None)


def _below(where: str, name: str) -> str:
    return f"{where}.{_told(name)}" if where else _told(name)


def _told(name: str) -> str:
    """A name on one line."""
    return name if name.isprintable() else repr(name)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
