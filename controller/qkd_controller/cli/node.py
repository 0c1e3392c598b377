"""`qkd node`: runs one end until it is told to stop."""

import argparse
import asyncio
from pathlib import Path

from qkd_controller.cli.crash import UnexpectedError, unexpected
from qkd_controller.config.errors import QkdError
from qkd_controller.node.node import run_node
from qkd_controller.node.validation import validate
from qkd_controller.telemetry.events import EventLog


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to `qkd`."""
    parser = subparsers.add_parser("node", help="run one end of its links")
    parser.add_argument("config", type=Path, metavar="NODE.toml")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the node; returns 0 after SIGINT or SIGTERM."""
    checked = validate(args.config)
    try:
        asyncio.run(run_node(checked))
    except QkdError:
        raise
    except Exception as error:
        if not checked.node.telemetry.log_file:
            raise
        log = EventLog(checked.node.name, checked.node.telemetry.log_file)
        log.fail(error)
        log.close()
        line = unexpected(error, kept_in=checked.node.telemetry.log_file)
        raise UnexpectedError(line) from None
    return 0
