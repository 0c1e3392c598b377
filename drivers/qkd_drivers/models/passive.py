"""A detector without a wire: a tagger channel on which clicks arrive, and nothing else.

Modules such as Excelitas SPCM, MPD PDM or Thorlabs SPDMH have a power plug, a pulse output and
perhaps a gate, but nothing that a program could ask or set.
"""

from qkd_drivers.contract import Identity, Limits, PassiveDetector, Reading
from qkd_drivers.framing import Trace

_CHANNELS = Limits(1, 64)


class Passive(PassiveDetector):
    """One module at ``channel:N`` of the end's tagger."""

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        scheme, _, channel = address.partition(":")
        if scheme != "channel" or not channel.isdecimal():
            raise ValueError(
                f"device address {address!r}: want channel:N, the tagger channel of the detector"
            )
        _CHANNELS.check("channel", int(channel))
        self.name = name
        self.channel = int(channel)
        self.identity = Identity("")

    async def connect(self) -> None:
        """There is nobody to ask: what stands at the end of the cable cannot be verified."""
        self.identity = Identity("passive detector")

    async def close(self) -> None:
        """There is nothing to close."""

    async def readings(self) -> dict[str, Reading]:
        """None: how often it clicks is told by the tagger, as ``singles_N_cps``."""
        return {}
