"""The actor that keeps one device connected and at its set-points."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from qkd_controller.config.node import Device
from qkd_controller.devices.errors import ChangeKept, DeviceNotReady
from qkd_controller.devices.kinds import KINDS, Observation, Procedure, SetPoints
from qkd_controller.devices.latch import Latch
from qkd_controller.devices.set_points import read_set_points
from qkd_controller.devices.state import State, StateChange
from qkd_drivers.catalogue import make_device
from qkd_drivers.contract import Instrument, Reading
from qkd_drivers.errors import (
    DeviceError,
    DeviceLost,
    DeviceMismatch,
    DeviceRefused,
    DeviceTripped,
)
from qkd_drivers.framing import TraceSwitch

SHUTDOWN_S = 5.0
_LAST_RESORT_S = 3.0
"""Some devices must be left alone for a second after each command."""


class DeviceActor:
    """Connects, verifies, drives to the set-points, watches, and does it again after each loss.

    A trip is answered by making the device safe and waiting for ``rearm``; ``latch`` holds it.
    ``on_event`` is called at each change of state, on the event loop, and must not block.
    """

    def __init__(
        self,
        config: Device,
        *,
        on_event: Callable[[StateChange], None] = lambda change: None,
        after: Sequence["DeviceActor"] = (),
        latch: Latch | None = None,
        poll_s: float = 1.0,
        reconnect_s: tuple[float, float] = (0.1, 5.0),
    ) -> None:
        self.name = config.name
        self.kind = config.kind
        self.trace = TraceSwitch()
        self.device: Instrument = make_device(config.model, config.address, config.name, self.trace)
        self._config = config
        self._on_event = on_event
        self._after = tuple(after)
        self._latch = latch or Latch()
        self._poll_s = poll_s
        self._reconnect_s = reconnect_s
        self._pause_s = reconnect_s[0]
        self._set_points = self._taken = self._read_set_points(config.set_points)
        self._procedure = self._make_procedure(self._set_points)
        self._driving: asyncio.Task[None] | None = None
        self._state = State.DISCONNECTED
        self._cause = "not started"
        self._moved = asyncio.Event()
        self._wake = asyncio.Event()
        self._connected = False
        self._work = asyncio.Lock()
        self._fault = ""
        self._readings: dict[str, Reading] = {}
        self._observations: list[Observation] = []
        self._kept: list[asyncio.Future[str]] = []
        self._supervision: asyncio.Task[None] | None = None
        self._stopping = False
        self._stopped = asyncio.Event()

    @property
    def state(self) -> State:
        return self._state

    @property
    def cause(self) -> str:
        """Why the device is in its state."""
        return self._cause

    @property
    def readings(self) -> dict[str, Reading]:
        """What was measured, each with its time; empty once the device is lost."""
        return dict(self._readings)

    @property
    def set_points(self) -> SetPoints:
        """The desired state."""
        return self._set_points

    @property
    def observed(self) -> dict[str, float]:
        """The set-points as read back at the last poll; empty unless the device stands at them."""
        return {observation.name: observation.value for observation in self._observations}

    @property
    def differences(self) -> list[str]:
        """How the last observation differs from the desired state."""
        return [str(observation) for observation in self._observations if observation.differs]

    async def run(self) -> None:
        """Keeps the device until cancelled, or until ``shutdown``; belongs in a TaskGroup.

        A cancellation closes the wire and leaves the device as it is: call ``shutdown`` before.
        """
        if self._latch.trip:
            self._enter(State.TRIPPED, self._latch.trip)
        self._supervision = asyncio.ensure_future(self._supervise())
        try:
            await asyncio.wait({self._supervision})
            if self._stopping:
                await self._stopped.wait()
            else:
                self._supervision.result()
        finally:
            await _end(self._supervision)
            self._tell_kept("dropped: the device was shut down before")
            await self.device.close()
            self._enter(State.DISCONNECTED, "shut down")

    async def until(self, state: State) -> None:
        """Returns once the device is in a state; use with ``asyncio.timeout``."""
        while self._state is not state:
            await self._moved.wait()

    async def set(self, /, **changes: Any) -> None:
        """Changes set-points and drives the device there.

        ValueError lists faults, those that the device's own limits show among them; then nothing
        was sent. DeviceRefused if the device refuses them. ChangeKept if the device is not ready
        now, or fails meanwhile: the change is applied when it is ready. DeviceNotReady if it is
        being brought to rest.
        """
        self._changed(changes)  # what can be said at once is
        async with self._work:
            if self._stopping:
                raise DeviceNotReady(f"{self.name} is being brought to rest")
            wanted = self._changed(changes)
            if self._connected and self._state is not State.READY:
                with contextlib.suppress(DeviceError):  # then it is asked when it is driven
                    await self._require_limits(self._make_procedure(wanted))
            self._set_points = wanted
            if self._state is not State.READY:
                raise self._keep(f"{self.name} is {self._state} ({self._cause})")
            try:
                await self._drive()
            except DeviceTripped as tripped:
                self._latch.hold(str(tripped))
                self._enter(State.TRIPPED, str(tripped))
                raise self._keep(str(tripped)) from tripped
            except (ValueError, DeviceRefused):
                self._wake.set()  # what was changed before the refusal is found and driven back
                raise
            except DeviceError as error:
                raise self._keep(str(error)) from error

    def rearm(self) -> None:
        """The operator's word that the cause of a trip is gone; no effect unless tripped."""
        if self._latch.trip:
            self._latch.rearm()
            self._enter(State.SETTLING if self._connected else State.DISCONNECTED, "re-armed")
            self._wake.set()

    async def shutdown(self, *, timeout_s: float = SHUTDOWN_S) -> None:
        """Brings the device to rest in its safe order; ``run`` then returns.

        What takes longer than timeout_s is cut short by switching the dangerous output off.
        """
        self._stopping = True
        if self._supervision is not None:
            await _end(self._supervision)
        if self._driving is not None:  # by an operator
            self._driving.cancel()
        try:
            if self._state is not State.DISCONNECTED:
                async with asyncio.timeout(timeout_s):
                    await self._procedure.rest()
                self._latch.dark()
        except (DeviceError, TimeoutError) as error:
            self._enter(State.DISCONNECTED, f"not brought to rest: {error or 'it took too long'}")
            with contextlib.suppress(DeviceError, TimeoutError):
                async with asyncio.timeout(_LAST_RESORT_S):
                    await self._procedure.make_safe()
                self._latch.dark()
        finally:
            self._stopped.set()

    def report_fault(self, cause: str) -> None:
        """Tells that the device failed in the hands of a user of its wire: it is reconnected."""
        self._fault = cause
        self._enter(State.DISCONNECTED, cause)
        self._wake.set()

    async def _supervise(self) -> None:
        while True:
            try:
                await self._session()
            except (DeviceError, ValueError) as fault:
                if self._latch.trip:
                    self._enter(State.TRIPPED, f"{self._latch.trip}; meanwhile: {fault}")
                else:
                    self._enter(State.DISCONNECTED, str(fault))
            self._latch.lapse()
            self._connected = False
            self._readings.clear()
            await self.device.close()
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(2 * self._pause_s, self._reconnect_s[1])

    async def _session(self) -> None:
        """From one connection to its loss."""
        self._fault = ""
        if not self._latch.trip:
            self._enter(State.CONNECTING, f"at {self._config.address}")
        await self.device.connect()
        self._verify_serial_number()
        self._connected = True
        if self._latch.trip:
            await self._stand_by()  # which waits for nobody
        for other in self._after:
            if other.state is not State.READY:
                self._enter(State.CONNECTING, f"waits for {other.name}")
            await other.until(State.READY)
        cause = "drives to its set-points"
        while True:
            try:
                if self._latch.trip:
                    await self._stand_by()
                async with self._work:
                    if self._latch.trip:  # an operator's change tripped it meanwhile
                        continue
                    self._enter(State.SETTLING, cause)
                    await self._drive()
                    self._pause_s = self._reconnect_s[0]
                    self._enter(State.READY, "at its set-points")
                cause = await self._watch()
            except DeviceTripped as tripped:
                self._latch.hold(str(tripped))

    async def _watch(self) -> str:
        """Polls until something differs from the desired state; returns what."""
        while not self._latch.trip:
            async with self._work:
                self._readings.update(await self.device.readings())
                self._observations = await self._procedure.observe()
            if self._kept or self.differences:
                break
            await self._pause()
        return ", ".join(self.differences) or "drives to its set-points"

    async def _stand_by(self) -> None:
        """Makes the device safe and reads on, but drives nothing, until re-armed."""
        self._enter(State.TRIPPED, self._latch.trip)
        await self._procedure.make_safe()
        while self._latch.trip:
            async with self._work:
                self._readings.update(await self.device.readings())
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._poll_s):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()
        if self._fault:
            raise DeviceLost(self._fault)

    async def _drive(self) -> None:
        """Set-points that are refused give way to those that were taken last."""
        wanted = self._set_points
        self._observations = []
        self._procedure = self._make_procedure(wanted)
        self._driving = asyncio.ensure_future(self._drive_within_limits())
        try:
            await self._driving
            self._taken = wanted
            self._tell_kept("applied")
        except (ValueError, DeviceRefused) as error:
            self._set_points = self._taken
            self._procedure = self._make_procedure(self._taken)
            self._tell_kept(f"refused: {error}")
            raise
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise DeviceNotReady(f"{self.name} is being brought to rest") from None
        finally:
            self._driving = None

    def _keep(self, cause: str) -> ChangeKept:
        fate = asyncio.get_running_loop().create_future()
        self._kept.append(fate)
        self._wake.set()
        return ChangeKept(f"{cause}: the change waits until it is ready", fate)

    def _tell_kept(self, fate: str) -> None:
        kept, self._kept = self._kept, []
        for each in kept:
            if not each.done():
                each.set_result(fate)

    async def _drive_within_limits(self) -> None:
        await self._require_limits(self._procedure)
        await self._procedure.drive()

    async def _require_limits(self, procedure: Procedure[Any, Any]) -> None:
        """ValueError if the device, which is connected, cannot do what is wanted."""
        if faults := await procedure.limit_faults():
            raise ValueError(
                f"{self.name}: {'; '.join(faults)}; nothing was sent: choose values within the "
                f"limits of this {self.device.identity.model or 'device'}"
            )

    def _changed(self, changes: Mapping[str, Any]) -> SetPoints:
        wanted = self._read_set_points({**msgspec.structs.asdict(self._set_points), **changes})
        self._make_procedure(wanted)
        return wanted

    def _read_set_points(self, given: Mapping[str, Any]) -> SetPoints:
        try:
            return read_set_points(self._config.model, given)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None

    def _make_procedure(self, wanted: SetPoints) -> Procedure[Any, Any]:
        procedure = KINDS[self.device.kind].procedure(self.device, wanted, self._latch)
        if faults := procedure.faults():
            raise ValueError(f"{self.name}: {'; '.join(faults)}")
        return procedure

    def _verify_serial_number(self) -> None:
        wanted, found = self._config.serial_number, self.device.identity.serial_number
        if wanted and wanted != found:
            raise DeviceMismatch(
                f"{self.name}: the device has serial number {found or 'unknown'}, "
                f"the configuration wants {wanted}"
            )

    def _enter(self, state: State, cause: str) -> None:
        if state is not State.READY:
            self._observations = []
        if (state, cause) == (self._state, self._cause):
            return
        self._state, self._cause = state, cause
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
        self._on_event(StateChange(self.name, state, cause, time.time()))


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
