"""``qkd-sim LAB.toml``: an optical table in one process."""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from qkd_firmware_sim import actions
from qkd_firmware_sim.bench import Bench
from qkd_firmware_sim.lab import CONTROL_SOCKET, LabError, faults_of, load

CONTROL_TIMEOUT_S = 10.0
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a lab until SIGINT or SIGTERM; ``ctl DIR JSON`` acts on one that runs.

    ``faults`` lists what can befall a lab.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] == ["ctl"]:
            return _control(arguments[1:])
        if arguments == ["faults"]:
            print(actions.help_text(), flush=True)
            return 0
        return _run(arguments)
    except LabError as error:
        for line in str(error).split("\n"):
            _complain(line)
        return 2
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has read enough; nothing may be written at the end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


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
    with faults_of(options.lab):
        asyncio.run(_host(Bench(lab, directory.absolute(), _complain)))
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
    answer = _ask(options.dir / CONTROL_SOCKET, options.action)
    print(answer, flush=True)
    return 0 if answer.startswith('{"ok":true') else 1


def _ask(path: Path, action: str) -> str:
    """The lab's answer. Raises LabError if there is none."""
    request = action.replace("\n", " ").encode("utf-8", "surrogateescape")
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(CONTROL_TIMEOUT_S)
            client.connect(str(path))
            client.sendall(request + b"\n")
            with client.makefile("rb") as answers:
                answer = answers.readline().decode().rstrip("\n")
    except TimeoutError:
        raise LabError(
            f"the lab at {path} does not answer within {CONTROL_TIMEOUT_S:g} s; is it stopped?"
        ) from None
    except OSError as error:
        raise LabError(
            f"no lab answers at {path}: {error.strerror or error}; does qkd-sim run there?"
        ) from None
    if not answer:
        raise LabError(f"the lab at {path} hung up on {len(request)} bytes; is this an action?")
    return answer


def _complain(line: str) -> None:
    print(f"qkd-sim: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
