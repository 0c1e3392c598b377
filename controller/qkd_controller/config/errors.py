"""The root of the controller's exceptions, on the lowest floor so that every room can use it."""


class QkdError(Exception):
    """Something an operator can act on: says what, where and what to do."""


class ConfigError(QkdError):
    """A configuration that cannot be used; holds one line for each fault found."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults
