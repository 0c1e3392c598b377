"""The root of the controller's exceptions, on the lowest floor so that every room can use it."""


class QkdError(Exception):
    """Something an operator can act on: says what, where and what to do."""


class ConfigError(QkdError):
    """A configuration that cannot be used; holds one line for each fault found."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = [one_line(fault) for fault in faults]
        super().__init__("\n".join(self.faults))


def one_line(text: str) -> str:
    """Text as a terminal can show it, whoever wrote it: what cannot be printed is escaped."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in a group of groups: what an operator needs to see."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
