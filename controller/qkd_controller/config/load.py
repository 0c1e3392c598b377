"""TOML files to typed configuration, with every fault of a file reported at once."""

import difflib
import tomllib
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from qkd_controller.config.errors import ConfigError
from qkd_controller.config.link import LinkFile
from qkd_controller.config.node import NodeFile

T = TypeVar("T")

_FAULTY = object()


def load_link(path: Path) -> LinkFile:
    """Reads a link file; raises ConfigError with a line for each fault."""
    return _load(path, LinkFile)


def load_node(path: Path) -> NodeFile:
    """Reads a node file; its relative paths are taken from the folder of the file.

    Raises ConfigError with a line for each fault.
    """
    return _anchored(_load(path, NodeFile), path.resolve().parent)


def _load(path: Path, kind: type[T]) -> T:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError([f"{path}: cannot be read: {reason}"]) from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: not TOML: {error}"]) from None
    faults: list[str] = []
    value = _convert(table, kind, "", faults)
    if faults:
        raise ConfigError([f"{path}: {fault}" for fault in faults])
    return value  # type: ignore[no-any-return]


def _convert(value: Any, kind: Any, where: str, faults: list[str]) -> Any:
    """The value as this type, or _FAULTY with the reason added to faults."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _convert_table(value, kind, where, faults)
    if get_origin(kind) is tuple and get_args(kind)[1:] == (Ellipsis,):
        if not isinstance(value, list):
            faults.append(f"{where}: expected an array, found {_named(value)}")
            return _FAULTY
        item = get_args(kind)[0]
        items = [_convert(v, item, f"{where}[{i}]", faults) for i, v in enumerate(value)]
        return _FAULTY if any(v is _FAULTY for v in items) else tuple(items)
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        faults.append(f"{where}: {str(error)[0].lower()}{str(error)[1:]}")
        return _FAULTY


def _convert_table(
    value: Any, kind: type[msgspec.Struct], where: str, faults: list[str]
) -> msgspec.Struct | object:
    if not isinstance(value, dict):
        faults.append(f"{where}: expected a table, found {_named(value)}")
        return _FAULTY
    hints = get_type_hints(kind)
    prefix = f"{where}." if where else ""
    for name in value:
        if name not in hints:
            close = difflib.get_close_matches(name, hints, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            faults.append(f"{prefix}{name}: no such setting{hint}")
    fields: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.name in value:
            fields[field.name] = _convert(
                value[field.name], hints[field.name], prefix + field.name, faults
            )
        elif field.required:
            faults.append(f"{prefix}{field.name}: missing")
            fields[field.name] = _FAULTY
    if any(v is _FAULTY for v in fields.values()):
        return _FAULTY
    return kind(**fields)


def _named(value: Any) -> str:
    names = {dict: "a table", list: "an array", str: "a string", bool: "a boolean"}
    return names.get(type(value), f"{type(value).__name__} {value!r}")


def _anchored(node: NodeFile, folder: Path) -> NodeFile:
    def path(text: str) -> str:
        return str(folder / Path(text).expanduser()) if text else text

    def address(text: str) -> str:
        scheme, _, rest = text.partition(":")
        return f"{scheme}:{folder / rest}" if scheme == "serial" else text

    links = tuple(
        msgspec.structs.replace(
            end,
            link_file=path(end.link_file),
            devices=tuple(
                msgspec.structs.replace(device, address=address(device.address))
                for device in end.devices
            ),
        )
        for end in node.links
    )
    state_dir = path(node.state_dir)
    return msgspec.structs.replace(
        node,
        state_dir=state_dir,
        tls=msgspec.structs.replace(
            node.tls,
            ca=path(node.tls.ca),
            certificate=path(node.tls.certificate),
            key=path(node.tls.key),
        ),
        links=links,
        telemetry=msgspec.structs.replace(node.telemetry, log_file=path(node.telemetry.log_file)),
        status_socket=path(node.status_socket) or str(Path(state_dir) / "status.sock"),
    )
