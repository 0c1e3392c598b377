"""Which pulse of a pulsed link a tag belongs to: slots, a gate in phase, and a loop that follows.

For prepare-and-measure links: pulses leave at a fixed period, and a detection counts only near the
middle of a pulse's slot.
"""

from fractions import Fraction

import numpy as np

from qkd_native._kernels import ffi, lib
from qkd_native.arrays import Channels, Out, Times, outputs, room
from qkd_native.tier import current

_SHORTEST_PS, _LONGEST_PS = 64, 1 << 26
_LONGEST_INTERVAL = 1 << 16
_TIME_LIMIT_PS = 1 << 61


class SlotTracker:
    """Assigns tags to slots, exactly; how the stream is cut into calls does not matter.

    Slot n is centred at first_ps + n * period_ps, at first: after every interval tags, phase_gain
    of the mean residual of those within the gate is added to the phase, and period_gain of it, a
    slot, to the period, which stays within 1/1024 of what was given (a digital phase-locked loop of
    second order; gains of 0 leave the grid where it is). A tag further than gate_ps from the centre
    of its slot is rejected. The loop can follow as long as grid and pulses move apart by less than
    the gate in one step. Periods are multiples of 2^-32 ps from 64 ps to 67 µs, gains of 1/256.
    Raises ValueError for settings outside these ranges.
    """

    def __init__(
        self,
        period_ps: Fraction | float,
        gate_ps: int,
        first_ps: int = 0,
        *,
        interval: int = 1024,
        phase_gain: float = 0.5,
        period_gain: float = 0.125,
    ) -> None:
        if not _SHORTEST_PS <= period_ps < _LONGEST_PS:
            raise ValueError(f"periods are from {_SHORTEST_PS} to {_LONGEST_PS} ps")
        if not 0 <= 2 * gate_ps <= period_ps:
            raise ValueError("the gate reaches from 0 to half a period to each side")
        if not 1 <= interval <= _LONGEST_INTERVAL:
            raise ValueError(f"a tracking step takes 1 to {_LONGEST_INTERVAL} tags")
        if not (0 <= phase_gain <= 1 and 0 <= period_gain <= 1):
            raise ValueError("gains are 0 to 1")
        if abs(first_ps) >= _TIME_LIMIT_PS:
            raise ValueError("times are within ±2^61 ps")
        period = round(Fraction(period_ps) * (1 << 32))
        self._grid = ffi.new("qkd_slot_grid *")
        self._grid.centre_ps = first_ps
        self._grid.period = period
        self._grid.least_period = period - (period >> 10)
        self._grid.most_period = period + (period >> 10)
        self._grid.gate = gate_ps << 32
        self._grid.interval = interval
        self._grid.phase_gain = round(256 * phase_gain)
        self._grid.period_gain = round(256 * period_gain)

    def assign(self, times: Times, channels: Channels, out: Out | None = None) -> Out:
        """Slots (int64) and channels of the tags within the gate, in their order.

        times are int64 ps in time order, channels uint8. Several tags of one slot are all given.
        Returns new arrays, or views of out, which must have room for as many tags and share no
        memory with them. Raises ValueError for other arrays, and where a tag is 37 minutes or more
        from the last tracking step; nothing has been taken then, but out may have been written to.
        """
        count = len(times)
        if times.dtype != np.int64 or channels.dtype != np.uint8:
            raise ValueError("times are int64, channels are uint8")
        if times.shape != (count,) or channels.shape != (count,):
            raise ValueError("times and channels are flat and of one length")
        slots, slot_channels = room(count, out)
        accepted = lib.qkd_slots_assign(
            current(),
            self._grid,
            ffi.from_buffer("int64_t[]", np.ascontiguousarray(times)),
            ffi.from_buffer("uint8_t[]", np.ascontiguousarray(channels)),
            count,
            *outputs(slots, slot_channels),
        )
        if accepted < 0:
            raise ValueError("a tag is too far from the last tracking step")
        return slots[:accepted], slot_channels[:accepted]

    @property
    def period_ps(self) -> Fraction:
        """The period now, exactly."""
        return Fraction(int(self._grid.period), 1 << 32)

    @property
    def phase_error_ps(self) -> float:
        """Mean residual of the accepted tags of the last tracking step, before its correction."""
        return float(self._grid.error / (1 << 16))

    @property
    def accepted(self) -> int:
        """Tags within the gate so far."""
        return int(self._grid.accepted)

    @property
    def rejected(self) -> int:
        """Tags outside of the gate so far."""
        return int(self._grid.rejected)

    @property
    def repeated(self) -> int:
        """Accepted tags in the same slot as the accepted tag before."""
        return int(self._grid.repeated)
