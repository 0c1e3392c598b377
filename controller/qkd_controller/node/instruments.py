"""The instruments of one link end: their actors in order of bring-up, and whether all are ready."""

from collections.abc import Callable
from typing import Any

from qkd_controller.config.node import Device, LinkEnd
from qkd_controller.devices.actor import DeviceActor, DeviceState
from qkd_controller.devices.tagger import TaggerActor
from qkd_controller.node.status import DeviceStatus

# Light comes last: the oven and all that watches stand before the laser goes on.
BRING_UP = ("polarisation_controller", "crystal_oven", "detector", "tagger", "laser")


class Instruments:
    """One actor a device of the link end."""

    def __init__(self, end: LinkEnd, on_event: Callable[..., None]) -> None:
        self.actors: dict[str, DeviceActor] = {}
        ready_first: list[DeviceActor] = []
        for kind in BRING_UP:
            for device in end.devices:
                if device.kind == kind:
                    after = tuple(ready_first) if kind == "laser" else ()
                    self.actors[device.name] = _actor(device, on_event, after)
            ready_first += [a for a in self.actors.values() if a.config.kind == kind]
        self.tagger = next(a for a in self.actors.values() if isinstance(a, TaggerActor))
        self.polarisation = next(
            (a for a in self.actors.values() if a.config.kind == "polarisation_controller"), None
        )

    def missing(self) -> str:
        """The devices that are not ready, each with its cause; empty if all are."""
        return "; ".join(
            f"{name} {actor.state.value}" + (f" ({actor.cause})" if actor.cause else "")
            for name, actor in self.actors.items()
            if actor.state is not DeviceState.READY
        )

    def status(self) -> tuple[DeviceStatus, ...]:
        """What each device says of itself."""
        return tuple(
            DeviceStatus(
                name=name,
                kind=actor.config.kind,
                model=actor.config.model,
                state=actor.state.value,
                cause=actor.cause,
                readings={k: (r.value, r.unit) for k, r in actor.readings.items()},
            )
            for name, actor in self.actors.items()
        )


def _actor(
    device: Device, on_event: Callable[..., Any], after: tuple[DeviceActor, ...]
) -> DeviceActor:
    kind = TaggerActor if device.kind == "tagger" else DeviceActor
    return kind(device, on_event=on_event, after=after)
