"""`qkd node`: runs one end until it is told to stop."""

import argparse
import asyncio
from pathlib import Path

from qkd_controller.node.node import run_node
from qkd_controller.node.validation import validate


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to `qkd`."""
    parser = subparsers.add_parser("node", help="run one end of its links")
    parser.add_argument("config", type=Path, metavar="NODE.toml")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the node; returns 0 after SIGINT or SIGTERM."""
    asyncio.run(run_node(validate(args.config)))
    return 0
