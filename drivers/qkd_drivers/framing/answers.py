"""Reading what instruments answer."""

import re


def text(answer: bytes) -> str:
    """An answer as text, without the white space around it."""
    return answer.decode("ascii", "replace").strip()


def leading_number(text: str) -> float | None:
    """The number that a text begins with."""
    match = re.match(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", text.strip(), re.IGNORECASE)
    return float(match[0]) if match else None
