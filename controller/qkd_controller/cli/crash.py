"""An error that nobody foresaw: a trace for the developers, a line for the operator."""

import os
import tempfile
import traceback

from qkd_controller.config.errors import QkdError, first_error


class UnexpectedError(QkdError):
    """A fault of the program itself, whose trace has been kept."""


def unexpected(error: Exception, kept_in: str = "") -> str:
    """One line about an error; its trace goes to a new private file unless it is kept already."""
    cause = first_error(error) if isinstance(error, BaseExceptionGroup) else error
    where = kept_in or _keep(error)
    return (
        f"unexpected {type(cause).__name__}: this is a fault of the program; "
        f"please report it with the trace in {where}"
    )


def _keep(error: Exception) -> str:
    try:
        descriptor, path = tempfile.mkstemp(prefix="qkd-", suffix=".trace")
    except OSError as failure:
        return f"no file ({failure.strerror})"
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        traceback.print_exception(error, file=file)
    return path
