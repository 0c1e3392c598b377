"""`qkd check`: everything that can be said of a node file without running it."""

import argparse
from pathlib import Path

from qkd_controller.distillation.method import carried_qber_ratio
from qkd_controller.node.validation import validate


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to `qkd`."""
    parser = subparsers.add_parser(
        "check", help="validate a node file and all it names, and list every error"
    )
    parser.add_argument("config", type=Path, metavar="NODE.toml")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints what the node would run; raises ConfigError with every fault."""
    checked = validate(args.config)
    print(f"{args.config}: node {checked.node.name}, no faults")
    for link, plan in zip(checked.links, checked.released_bits, strict=True):
        print(
            f"  link {link.name}: {link.block.pairs} pairs a block give {plan} bits of key "
            f"at ε_sec {link.block.epsilon_secrecy:g}, ε_cor {link.block.epsilon_correctness:g}; "
            f"the leakage budget carries a QBER of {carried_qber_ratio(link.block):.2%}"
        )
    return 0
