"""`qkd`: one command, one sub-command a task."""

import argparse
import os
import sys
from types import ModuleType

from qkd_controller.cli import audit, check, demo, devices, draw, node, pair, pki, rearm, status
from qkd_controller.cli.crash import unexpected
from qkd_controller.config.errors import QkdError, one_line
from qkd_drivers.catalogue import CatalogueError

COMMANDS: tuple[ModuleType, ...] = (
    node,
    status,
    devices,
    rearm,
    audit,
    check,
    pki,
    pair,
    draw,
    demo,
)


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns its exit status. Errors are a line each, never a stack trace."""
    parser = argparse.ArgumentParser(
        prog="qkd", description="Runs one end of a quantum key distribution link."
    )
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(subparsers)
    args = parser.parse_args(argv)
    try:
        status_code: int = args.run(args)
    except QkdError as error:
        for line in str(error).splitlines():
            print(f"qkd: {line}", file=sys.stderr)
        return 1
    except CatalogueError as error:
        print(f"qkd: {one_line(str(error))}; mend or remove that package", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return demo.INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has read enough; nothing may be written at the end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        print(f"qkd: {unexpected(error)}", file=sys.stderr)
        return 1
    return status_code


if __name__ == "__main__":
    sys.exit(main())
