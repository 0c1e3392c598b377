"""OZ Optics: content lines, then ``Done``."""

from qkd_drivers.framing.wire import Wire

_END = rb"(?i)(^|\n)(done|error[^\n]*)\r?\n"


class OzWire(Wire):
    """OZ Optics: ``command CR LF`` → content lines, then ``Done``."""

    async def ask(self, command: str, *, timeout_s: float | None = None) -> str:
        """The content before ``Done``: empty for a setting that was accepted."""
        answer = await self.exchange(f"{command}\r\n".encode(), _END, timeout_s=timeout_s)
        lines = [line.strip() for line in answer.decode("ascii", "replace").splitlines()]
        return "\n".join(line for line in lines if line and line.lower() != "done")

    def _landmark(self) -> tuple[bytes, bytes]:
        # The waveform is asked for nowhere else, so its answer cannot be an old one. The empty
        # line ends what another program may have left unfinished.
        return b"\r\nWF?\r\n", rb"(?i)waveform[^\n]*\n(?:[^\n]*\n)*?done\r?\n"
