"""`qkd audit`: whether the record of what operators changed is whole."""

import argparse
from pathlib import Path

from qkd_controller.config.load import load_node
from qkd_controller.telemetry.audit import verify


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to `qkd`."""
    parser = subparsers.add_parser("audit", help="check the record of what operators changed")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    checking = commands.add_parser("verify", help="follow the chain of hashes through the file")
    checking.add_argument("config", type=Path, metavar="NODE.toml")
    checking.set_defaults(run=_verify)


def _verify(args: argparse.Namespace) -> int:
    """Raises AuditError, which names the line, if something was altered or cut out."""
    lines, last = verify(Path(load_node(args.config).state_dir))
    print(f"{lines} lines, whole; the last has hash {last}")
    print("were its last lines cut off, the last audit_sha256 of the node's log would be another")
    return 0
