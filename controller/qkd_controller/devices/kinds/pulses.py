"""Pulse generators."""

from collections.abc import Mapping

import msgspec

from qkd_controller.devices.kinds.procedure import (
    NotNegative,
    Observation,
    Positive,
    Procedure,
    SetPoints,
    outside,
)
from qkd_drivers.contract import Limits, PulseGenerator

_RELATIVE_TOLERANCE = 1e-6
_RESOLUTION_S = 1e-11
_RESOLUTION_V = 5e-3


class Pulse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The pulse of one channel."""

    channel: int
    width_s: Positive
    amplitude_v: Positive
    delay_s: NotNegative = 0.0


class PulseSetPoints(SetPoints, frozen=True):
    """Period and the channels in use; the others are switched off."""

    period_s: Positive
    pulses: tuple[Pulse, ...]

    def faults(self) -> list[str]:
        channels = [pulse.channel for pulse in self.pulses]
        found = [
            f"channel {pulse.channel}: width_s = {pulse.width_s:g} is not below "
            f"period_s = {self.period_s:g}"
            for pulse in self.pulses
            if pulse.width_s >= self.period_s
        ]
        twice = sorted({channel for channel in channels if channels.count(channel) > 1})
        return found + [f"channel {channel} is given twice" for channel in twice]


class PulseProcedure(Procedure[PulseGenerator, PulseSetPoints]):
    """Shapes the pulses with the outputs as they are, then switches them."""

    def faults(self) -> list[str]:
        return self._outside(self._device.static_limits)

    async def limit_faults(self) -> list[str]:
        device, wanted = self._device, self._wanted
        limits = await device.limits(period_s=wanted.period_s)
        return self._outside({**limits, "channel": Limits(1, device.channel_count)})

    def _outside(self, limits: Mapping[str, Limits]) -> list[str]:
        faults = outside(limits, self._wanted, "period_s")
        for pulse in self._wanted.pulses:
            found = outside(limits, pulse, "channel", "width_s", "delay_s", "amplitude_v")
            faults += [f"channel {pulse.channel}: {fault}" for fault in found]
        return faults

    async def drive(self) -> None:
        device, wanted = self._device, self._wanted
        await device.set_period_s(wanted.period_s)
        for pulse in wanted.pulses:
            await device.set_width_s(pulse.channel, pulse.width_s)
            await device.set_delay_s(pulse.channel, pulse.delay_s)
            await device.set_amplitude_v(pulse.channel, pulse.amplitude_v)
        used = {pulse.channel for pulse in wanted.pulses}
        for channel in range(1, device.channel_count + 1):
            await device.set_output(channel, channel in used)

    async def observe(self) -> list[Observation]:
        device, wanted = self._device, self._wanted
        found = [_time("period_s", await device.period_s(), wanted.period_s)]
        for pulse in wanted.pulses:
            at = f"channel_{pulse.channel}"
            found += [
                Observation(f"{at}_output", await device.output(pulse.channel), True, 0),
                _time(f"{at}_width_s", await device.width_s(pulse.channel), pulse.width_s),
                _time(f"{at}_delay_s", await device.delay_s(pulse.channel), pulse.delay_s),
                Observation(
                    f"{at}_amplitude_v",
                    await device.amplitude_v(pulse.channel),
                    pulse.amplitude_v,
                    _RESOLUTION_V,
                ),
            ]
        return found

    async def rest(self) -> None:
        for channel in range(1, self._device.channel_count + 1):
            await self._device.set_output(channel, False)


def _time(name: str, value_s: float, wanted_s: float) -> Observation:
    return Observation(
        name, value_s, wanted_s, max(_RESOLUTION_S, _RELATIVE_TOLERANCE * abs(wanted_s))
    )
