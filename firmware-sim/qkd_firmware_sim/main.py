"""``qkd-sim LAB.toml``: an optical table in one process."""

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from qkd_firmware_sim import actions
from qkd_firmware_sim.bench import CONTROL_SOCKET, Bench
from qkd_firmware_sim.lab import LabError, load


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a lab until SIGINT or SIGTERM; ``ctl DIR JSON`` acts on one that runs.

    ``faults`` lists what can befall a lab.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] == ["ctl"]:
            return _control(arguments[1:])
        if arguments == ["faults"]:
            print(actions.help_text())
            return 0
        return _run(arguments)
    except LabError as error:
        print(f"qkd-sim: {error}", file=sys.stderr)
        return 2


def _run(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="qkd-sim",
        description="Host a simulated optical table: prints 'NAME ADDRESS' lines, then 'ready'.",
        epilog=actions.help_text() + "\n\nqkd-sim ctl DIR JSON sends one action to a running lab; "
        "qkd-sim faults prints this list.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("lab", type=Path, help="the lab file")
    parser.add_argument("--dir", type=Path, help="where ports and the control socket appear")
    options = parser.parse_args(arguments)
    lab = load(options.lab)
    directory: Path = options.dir or options.lab.parent / lab.runtime_dir
    asyncio.run(_host(Bench(lab, directory.absolute())))
    return 0


async def _host(bench: Bench) -> None:
    loop = asyncio.get_running_loop()
    running = asyncio.ensure_future(_serve(bench))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, running.cancel)
    await asyncio.wait([running])
    if not running.cancelled():
        running.result()


async def _serve(bench: Bench) -> None:
    async with bench:
        for name, address in bench.addresses:
            print(name, address)
        print("ready", flush=True)
        await bench.run()


def _control(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="qkd-sim ctl",
        description="Send one action to a running lab and print its answer.",
        epilog=actions.help_text(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dir", type=Path, help="the lab's runtime directory")
    parser.add_argument("action", help='for example \'{"do": "attack", "fraction": 1.0}\'')
    options = parser.parse_args(arguments)
    path = options.dir / CONTROL_SOCKET
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError as error:
            raise LabError(f"no lab answers at {path}: {error.strerror}") from None
        client.sendall(options.action.replace("\n", " ").encode() + b"\n")
        answer = client.makefile("rb").readline().decode()
    print(answer, end="")
    return 0 if answer.startswith('{"ok":true') else 1


if __name__ == "__main__":
    sys.exit(main())
