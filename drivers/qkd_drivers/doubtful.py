"""Questions of which no source says that every firmware of a model knows them."""

import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

from qkd_drivers.errors import DeviceRefused

T = TypeVar("T")


class DoubtfulQuestions:
    """Asks until the device says that it does not know a question; then no more until told.

    Any other refusal is passed on.
    """

    def __init__(self, unknown: str) -> None:
        """unknown is a pattern of how the device says that it does not know a command."""
        self._says_unknown = re.compile(unknown, re.IGNORECASE)
        self.unknown: set[str] = set()
        """The questions that were refused."""

    def forget(self) -> None:
        """Another device may hang at the address now."""
        self.unknown.clear()

    async def ask(self, question: str, ask: Callable[[str], Awaitable[T]]) -> T | None:
        """What ask answers; None where the device does not know the question."""
        if question in self.unknown:
            return None
        try:
            return await ask(question)
        except DeviceRefused as refusal:
            if not self._says_unknown.search(str(refusal)):
                raise
            self.unknown.add(question)
            return None
