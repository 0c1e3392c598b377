"""TOML files to typed configuration, with every fault of a file and all that is sound in it."""

import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from qkd_controller.config.errors import ConfigError
from qkd_controller.config.link import LinkFile
from qkd_controller.config.node import NodeFile
from qkd_controller.config.parts import Parts, unindexed

T = TypeVar("T")

_FAULTY = object()
_PATHS = (
    *("state_dir", "tls.ca", "tls.certificate", "tls.key", "links[].link_file"),
    *("telemetry.log_file", "status_socket"),
)
_DEVICE_ADDRESS = "links[].devices[].address"


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """What a file says, as far as it can be understood."""

    value: T | None
    """None if anything is wrong."""
    parts: Parts
    """Each setting, table and array that is sound in itself, by its dotted name."""
    faults: list[str]
    """One line each, beginning with the dotted name of a setting."""


def load_link(path: Path) -> LinkFile:
    """Reads a link file; raises ConfigError with a line for each fault."""
    return _whole(path, read_link(path))


def load_node(path: Path) -> NodeFile:
    """Reads a node file; its relative paths are taken from the folder of the file.

    Raises ConfigError with a line for each fault.
    """
    return _whole(path, read_node(path))


def read_link(path: Path) -> Loaded[LinkFile]:
    """As load_link, keeping what is sound in a faulty file."""
    return _read(path, LinkFile)


def read_node(path: Path) -> Loaded[NodeFile]:
    """As load_node, keeping what is sound in a faulty file."""
    read = _read(path, NodeFile)
    parts = dict(read.parts)
    if parts.get("status_socket") == "" and "state_dir" in parts:
        parts["status_socket"] = str(Path(parts["state_dir"]) / "status.sock")
    value = read.value
    if value is not None:
        value = msgspec.structs.replace(value, status_socket=parts["status_socket"])
    return Loaded(value, parts, read.faults)


def _whole(path: Path, read: Loaded[T]) -> T:
    if read.value is None:
        raise ConfigError([f"{path}: {fault}" for fault in read.faults])
    return read.value


def _read(path: Path, kind: type[T]) -> Loaded[T]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        return Loaded(None, {}, [f"cannot be read: {error.strerror}"])
    except (ValueError, RecursionError) as error:
        return Loaded(None, {}, [f"not TOML: {error}"])
    if fault := _mistaken(table, kind):
        return Loaded(None, {}, [fault])
    reading = _Reading(path.resolve().parent)
    value = reading.convert(table, kind, "")
    return Loaded(None if reading.faults else value, reading.parts, reading.faults)


def _mistaken(table: dict[str, Any], kind: type) -> str:
    """Why the file is of the other kind; empty if it is not."""
    if kind is LinkFile and "tls" in table and "roles" not in table:
        links = table.get("links")
        first = links[0] if isinstance(links, list) and links else None
        file = first.get("link_file") if isinstance(first, dict) else None
        return "this is a node file; give its link file" + (f", {file}" if file else "")
    if kind is NodeFile and "roles" in table and "tls" not in table:
        return "this is a link file; give the file of a node"
    return ""


class _Reading:
    """The conversion of one file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.parts: dict[str, Any] = {}
        self.faults: list[str] = []

    def convert(self, value: Any, kind: Any, where: str) -> Any:
        """The value as this type, or _FAULTY with the reason added to the faults."""
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            converted = self._table(value, kind, where)
        elif get_origin(kind) is tuple and get_args(kind)[1:] == (Ellipsis,):
            converted = self._array(value, get_args(kind)[0], where)
        else:
            converted = self._setting(value, kind, where)
        if converted is not _FAULTY:
            self.parts[where] = converted
        return converted

    def _setting(self, value: Any, kind: Any, where: str) -> Any:
        if isinstance(value, str) and "\0" in value:
            self.faults.append(f"{where}: there is a zero byte in it, {value!r}")
            return _FAULTY
        try:
            return self._anchored(msgspec.convert(value, kind, strict=True), where)
        except msgspec.ValidationError as error:
            self.faults.append(f"{where}: {str(error)[0].lower()}{str(error)[1:]}")
            return _FAULTY

    def _array(self, value: Any, item: Any, where: str) -> Any:
        if not isinstance(value, list | tuple):
            self.faults.append(f"{where}: expected an array, found {_named(value)}")
            return _FAULTY
        items = [self.convert(v, item, f"{where}[{i}]") for i, v in enumerate(value)]
        return _FAULTY if any(v is _FAULTY for v in items) else tuple(items)

    def _table(self, value: Any, kind: type[msgspec.Struct], where: str) -> Any:
        if not isinstance(value, dict):
            self.faults.append(f"{where}: expected a table, found {_named(value)}")
            return _FAULTY
        hints = get_type_hints(kind)
        prefix = f"{where}." if where else ""
        for name in value:
            if name not in hints:
                close = difflib.get_close_matches(name, hints, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                self.faults.append(f"{prefix}{name}: no such setting{hint}")
        fields: dict[str, Any] = {}
        for field in msgspec.structs.fields(kind):
            if field.name not in value and field.required:
                self.faults.append(f"{prefix}{field.name}: missing")
                fields[field.name] = _FAULTY
            else:
                given = value.get(field.name, msgspec.to_builtins(_default(field)))
                fields[field.name] = self.convert(given, hints[field.name], prefix + field.name)
        return _FAULTY if any(v is _FAULTY for v in fields.values()) else kind(**fields)

    def _anchored(self, value: Any, where: str) -> Any:
        """A path as seen from the folder of the file; anything else as it is."""
        place = unindexed(where)
        if place in _PATHS and value:
            return str(self._folder / Path(value).expanduser())
        if place == _DEVICE_ADDRESS and value.startswith(("serial:", "file:")):
            scheme, _, path = value.partition(":")
            return f"{scheme}:{self._folder / path}"
        return value


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default if field.default is not msgspec.NODEFAULT else None


def _named(value: Any) -> str:
    names = {dict: "a table", list: "an array", str: "a string", bool: "a boolean"}
    return names.get(type(value), f"{type(value).__name__} {value!r}")
