"""The root of the controller's exceptions, on the lowest floor so that every room can use it."""


class QkdError(Exception):
    """Something an operator can act on: says what, where and what to do."""


class ConfigError(QkdError):
    """A configuration that cannot be used; holds one line for each fault found."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in a group of groups: what an operator needs to see."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
