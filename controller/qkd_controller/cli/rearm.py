"""`qkd rearm`: the operator's word that the cause of a device's trip is gone."""

import argparse
import asyncio
from pathlib import Path

from qkd_controller.config.load import load_node
from qkd_controller.node.operator_client import rearm_device


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to `qkd`."""
    parser = subparsers.add_parser("rearm", help="switch a tripped device on again")
    parser.add_argument("config", type=Path, metavar="NODE.toml")
    parser.add_argument("device", metavar="DEVICE", help="its name in the node file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Re-arms the device of the running node; raises QkdError if the node declines."""
    node = load_node(args.config)
    asyncio.run(rearm_device(Path(node.status_socket), args.device))
    print(f"{args.device} is re-armed and driven to its set-points again")
    return 0
