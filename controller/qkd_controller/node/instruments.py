"""The instruments of one link end: their actors in order of bring-up, and whether all are ready."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import msgspec

from qkd_controller.config.node import Device, LinkEnd
from qkd_controller.devices.actor import DeviceActor
from qkd_controller.devices.kinds import LIGHT_KINDS
from qkd_controller.devices.latch import Latch
from qkd_controller.devices.state import State, StateChange
from qkd_controller.devices.tagger import TaggerActor
from qkd_controller.node.status import DeviceStatus


class Instruments:
    """One actor a device of the link end; light goes on last, once all others are ready."""

    def __init__(
        self, end: LinkEnd, on_event: Callable[[StateChange], None], latches: Path
    ) -> None:
        """latches is the folder that holds what must not be forgotten of each device."""
        self._devices = {device.name: device for device in end.devices}
        self.actors: dict[str, DeviceActor] = {}

        def latch(device: Device) -> Latch:
            return Latch(latches / f"{quote(device.name, safe='')}.json")

        for device in end.devices:
            if device.kind == "tagger":
                self.tagger = TaggerActor(device, on_event=on_event, latch=latch(device))
                self.actors[device.name] = self.tagger
            elif device.kind not in LIGHT_KINDS:
                self.actors[device.name] = DeviceActor(
                    device, on_event=on_event, latch=latch(device)
                )
        others = tuple(self.actors.values())
        for device in end.devices:
            if device.kind in LIGHT_KINDS:
                self.actors[device.name] = DeviceActor(
                    device, on_event=on_event, latch=latch(device), after=others
                )
        self.polarisation = self._first("polarisation_controller")

    def missing(self) -> str:
        """The devices that are not ready, each with its cause; empty if all are."""
        return "; ".join(
            f"{name} {actor.state}: {actor.cause}"
            for name, actor in self.actors.items()
            if actor.state is not State.READY
        )

    def status(self) -> tuple[DeviceStatus, ...]:
        """What each device says of itself."""
        return tuple(_status(self._devices[name], actor) for name, actor in self.actors.items())

    async def shutdown(self) -> None:
        """Brings every device to rest, light sources first."""
        for actor in reversed(self.actors.values()):
            await actor.shutdown()

    def _first(self, kind: str) -> DeviceActor | None:
        return next((actor for actor in self.actors.values() if actor.kind == kind), None)


def _status(device: Device, actor: DeviceActor) -> DeviceStatus:
    return DeviceStatus(
        name=device.name,
        kind=device.kind,
        model=device.model,
        state=actor.state.value,
        cause=actor.cause,
        readings={name: (r.value, r.unit, r.utc_s) for name, r in actor.readings.items()},
        set_points=msgspec.to_builtins(actor.set_points),
        observed={name: float(value) for name, value in actor.observed.items()},
        differences=tuple(actor.differences),
    )
