"""The faults of a wire, in one table: what each does and which front-ends can show it."""

from dataclasses import dataclass

SOCKETS = ("tcp", "two-tcp", "hislip", "zmtp")
BYTES = ("pty", "tcp", "two-tcp")
STREAMS = (*BYTES, "zmtp")
LINES = (*BYTES, "hislip")
ALL = (*LINES, "zmtp")


@dataclass(frozen=True)
class Fault:
    """One way in which a wire fails."""

    meaning: str
    fronts: tuple[str, ...] = ALL
    """Names of `qkd_firmware_sim.bench.FRONTS`."""
    parameters: tuple[str, ...] = ()
    """Fields of the action that matter: size (bytes), delay_s, text."""
    lasts: bool = False
    """Until restored; the others happen once."""


FAULTS: dict[str, Fault] = {
    # Connections.
    "refuse": Fault("no new connection is let in; a serial port is absent", lasts=True),
    "busy": Fault("another program holds the instrument", ("pty", "hislip"), lasts=True),
    "slam": Fault("connections are let in and dropped at once", SOCKETS, lasts=True),
    "cut": Fault("connections drop and cannot be made; a serial port is unplugged", lasts=True),
    "hang_up": Fault(
        "connections drop after size bytes of the next answer; new ones are let in",
        parameters=("size",),
    ),
    "half_open": Fault(
        "connections stay open but carry nothing any more; new ones are whole", SOCKETS
    ),
    "idle": Fault(
        "a connection on which nothing passes for delay_s is dropped", SOCKETS, ("delay_s",), True
    ),
    # Answers that do not come, come late, or come in other pieces.
    "silence": Fault("the instrument hears but its answers get lost", lasts=True),
    "drop": Fault("the next answer gets lost"),
    "delay": Fault("answers come delay_s late", ALL, ("delay_s",), True),
    "glue": Fault(
        "all that is said within delay_s comes in one piece", STREAMS, ("delay_s",), True
    ),
    "split": Fault(
        "answers come in pieces of size bytes, delay_s apart", STREAMS, ("size", "delay_s"), True
    ),
    # Answers that are not what was sent.
    "truncate": Fault("the next answer ends after size bytes", parameters=("size",)),
    "slip": Fault("the next size bytes are lost", parameters=("size",)),
    "garble": Fault("the next size bytes come out wrong", parameters=("size",)),
    "noise": Fault("size bytes of noise come before the next answer", parameters=("size",)),
    "duplicate": Fault("the next answer comes twice"),
    "terminator": Fault("lines end in text instead of CR, LF or ETB", LINES, ("text",), True),
    # Bytes that answer nothing.
    "echo": Fault("all that is sent to the instrument comes back", BYTES, lasts=True),
    "unsolicited": Fault("the instrument sends text unasked", STREAMS, ("text",)),
    "complain": Fault("the next request is first met by text, an error line", STREAMS, ("text",)),
    "restore": Fault("ends every lasting fault"),
}


def table() -> list[str]:
    """One line a fault, for help pages."""
    rows = [("fault", "wires", "parameters", "what happens")]
    for name, fault in FAULTS.items():
        wires, parameters = " ".join(fault.fronts), ", ".join(fault.parameters)
        ends = ", until restored" if fault.lasts else ""
        rows.append((name, wires, parameters, f"{fault.meaning}{ends}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + " ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
