"""Nanowire detectors, and detectors that have no wire at all."""

from qkd_controller.devices.kinds.procedure import Observation, Procedure, SetPoints, outside
from qkd_drivers.contract import NanowireDetectors, PassiveDetector


class NanowireSetPoints(SetPoints, frozen=True):
    """Bias and trigger of each channel, in order."""

    bias_currents_a: tuple[float, ...]
    triggers_v: tuple[float, ...]

    def faults(self) -> list[str]:
        if len(self.bias_currents_a) == len(self.triggers_v):
            return []
        return [
            f"{len(self.bias_currents_a)} bias_currents_a but {len(self.triggers_v)} triggers_v"
        ]


class NanowireProcedure(Procedure[NanowireDetectors, NanowireSetPoints]):
    """Biases the wires, from off: that frees those that have latched."""

    async def limit_faults(self) -> list[str]:
        device, wanted = self._device, self._wanted
        named = {"bias_currents_a": "bias_current_a", "triggers_v": "trigger_v"}
        faults = outside(await device.limits(), wanted, **named)
        if (given := len(wanted.bias_currents_a)) != device.channel_count:
            faults.append(f"{given} bias_currents_a for {device.channel_count} channels")
        return faults

    async def drive(self) -> None:
        device, wanted = self._device, self._wanted
        if await device.enabled():
            await device.set_enabled(False)
        await device.set_triggers_v(wanted.triggers_v)
        await device.set_bias_currents_a(wanted.bias_currents_a)
        await device.set_enabled(True)

    async def observe(self) -> list[Observation]:
        device, wanted = self._device, self._wanted
        pairs = [
            ("bias_current", "a", await device.bias_currents_a(), wanted.bias_currents_a, 5e-8),
            ("trigger", "v", await device.triggers_v(), wanted.triggers_v, 2e-3),
        ]
        return [Observation("enabled", await device.enabled(), True, 0)] + [
            Observation(f"{name}_{channel}_{unit}", value, desired, tolerance)
            for name, unit, held, asked, tolerance in pairs
            for channel, (value, desired) in enumerate(zip(held, asked, strict=True), 1)
        ]

    async def rest(self) -> None:
        await self._device.set_enabled(False)


class PassiveSetPoints(SetPoints, frozen=True):
    """Nothing can be set."""


class PassiveProcedure(Procedure[PassiveDetector, PassiveSetPoints]):
    """There is nothing to drive and nothing to read."""

    async def drive(self) -> None:
        return

    async def observe(self) -> list[Observation]:
        return []
