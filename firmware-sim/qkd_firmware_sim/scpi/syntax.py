"""SCPI-99 program messages: headers, arguments, numbers with units."""

import math
import re
from collections.abc import Sequence

ERROR_TEXTS = {
    -102: "Syntax error",
    -104: "Data type error",
    -108: "Parameter not allowed",
    -109: "Missing parameter",
    -113: "Undefined header",
    -131: "Invalid suffix",
    -138: "Suffix not allowed",
    -221: "Settings conflict",
    -222: "Data out of range",
    -224: "Illegal parameter value",
    -240: "Hardware error",
    -350: "Queue overflow",
    -363: "Input buffer overrun",
    -410: "Query INTERRUPTED",
    -420: "Query UNTERMINATED",
    -430: "Query DEADLOCKED",
}

# SCPI-99 vol. 1, 7.1: M is milli, MA is mega.
_PREFIXES = {
    "": 1.0,
    "G": 1e9,
    "MA": 1e6,
    "K": 1e3,
    "M": 1e-3,
    "U": 1e-6,
    "N": 1e-9,
    "P": 1e-12,
}

_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:E[+-]?\d+)?)\s*([A-Z]*)", re.IGNORECASE)
_NODE = re.compile(r"([\[\]])|:([A-Z_]+)([a-z_]*)(\d*)")


class ScpiError(Exception):
    """An entry for the error queue: a SCPI-99 number and, after a semicolon, what happened."""

    def __init__(self, code: int, detail: str = "") -> None:
        text = ERROR_TEXTS.get(code, "Device-specific error")
        self.code = code
        self.text = f"{text};{detail}" if detail else text
        super().__init__(self.text)


def header_pattern(header: str) -> re.Pattern[str]:
    """The pattern of a header such as ``[:SOURce1]:CURRent[:LEVel]``.

    Capitals are the short form, brackets hold optional nodes, and a suffix of 1 may be left out.
    """
    if header.startswith("*"):
        return re.compile(re.escape(header), re.IGNORECASE)
    parts = []
    for bracket, short, rest, suffix in _NODE.findall(header):
        if bracket:
            parts.append("(?:" if bracket == "[" else ")?")
        else:
            number = "1?" if suffix == "1" else suffix
            parts.append(f":{short}(?:{rest.upper()})?{number}" if rest else f":{short}{number}")
    return re.compile("".join(parts), re.IGNORECASE)


def split_quoted(text: str, separator: str) -> list[str]:
    """Splits at a separator outside quotation marks; parts are stripped."""
    parts, start, quote = [], 0, ""
    for i, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == separator:
            parts.append(text[start:i].strip())
            start = i + 1
    parts.append(text[start:].strip())
    return parts


def parse_number(text: str, unit: str, low: float, high: float, default: float) -> float:
    """A number in [low, high], with an optional unit and prefix, or MIN, MAX, DEF.

    Raises ScpiError -104, -131, -138 or -222.
    """
    word = text.upper()
    for form, value in (("MINIMUM", low), ("MAXIMUM", high), ("DEFAULT", default)):
        if word in (form, form[:3]):
            return value
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ScpiError(-104, text)
    value = float(match[1]) * _scale(match[2].upper(), unit)
    if not (math.isfinite(value) and low <= value <= high):
        raise ScpiError(-222, f"{text} is not within {low:g} to {high:g} {unit}".rstrip())
    return value


def parse_integer(text: str, low: int, high: int) -> int:
    """An integer in [low, high]; decimal numbers are rounded, as IEEE 488.2 asks."""
    return round(parse_number(text, "", low, high, low))


def parse_boolean(text: str) -> bool:
    """ON, OFF or a number, of which all but 0 mean ON."""
    word = text.upper()
    if word in ("ON", "OFF"):
        return word == "ON"
    match = _NUMBER.fullmatch(text)
    if match is None or match[2]:
        raise ScpiError(-104, text)
    value = float(match[1])
    return math.isfinite(value) and abs(value) >= 0.5


def parse_choice(text: str, choices: Sequence[str]) -> str:
    """The choice, spelt like ``CURRent``, that the text names in short or long form."""
    for choice in choices:
        short = "".join(c for c in choice if not c.islower())
        if text.upper() in (short, choice.upper()):
            return choice
    raise ScpiError(-224, text)


def _scale(suffix: str, unit: str) -> float:
    if not suffix:
        return 1.0
    if not unit:
        raise ScpiError(-138, suffix)
    names = (unit.upper(), "CEL") if unit == "C" else (unit.upper(),)
    for name in names:
        if suffix.endswith(name) and suffix[: -len(name)] in _PREFIXES:
            return _PREFIXES[suffix[: -len(name)]]
    raise ScpiError(-131, suffix)
