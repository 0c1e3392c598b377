"""The optical world: couples the instruments through light, tick by tick of virtual time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from qkd_firmware_sim import actions, roles
from qkd_firmware_sim.actions import Action
from qkd_firmware_sim.clocks import DriftingClock
from qkd_firmware_sim.cores.core import PS_PER_S, Core
from qkd_firmware_sim.lab import Instrument, Lab
from qkd_firmware_sim.optics import Emission, Response, correlations, emission, rotation
from qkd_firmware_sim.registry import SIMULATED, Spot
from qkd_firmware_sim.roles import Role
from qkd_firmware_sim.table import ENDS, End
from qkd_native.photons import Eight, PhotonSource, PhotonTable

_DARK = Response(0.0, 0.0)
_PUMP_W_PER_A = 1.0
_MOST_HZ = 1e8  # of pairs or dark counts; what glows brighter blinds every detector just so
_NONE = (0.0,) * 8
# The table while nobody counts: time passes, nothing is drawn.
_UNSEEN = PhotonTable(
    pair_rate_hz=0.0,
    transmission=(0.0, 0.0),
    basis_z_probability=(0.5, 0.5),
    correlation=(0.0, 0.0, 0.0, 0.0),
    efficiency=_NONE,
    dark_rate_hz=_NONE,
    jitter_ps=_NONE,
    dead_time_ps=(0,) * 8,
)


# By which attribute a core shows that an action can befall it, and how it does.
_BEFALLS: dict[type, tuple[str, Callable[[Any, Any], None]]] = {
    actions.Overflow: ("overflow", lambda core, _: core.overflow()),
    actions.Interlock: ("set_interlock", lambda core, action: core.set_interlock(action.open)),
    actions.KeyLock: ("set_key_lock", lambda core, action: core.set_key_lock(action.locked)),
    actions.Latch: ("latched", lambda core, action: setattr(core, "latched", action.latched)),
    actions.Warm: ("warm_by", lambda core, action: core.warm_by(action.kelvin)),
    actions.Stall: (
        "regulated",
        lambda core, action: setattr(core.regulated, "stalled", action.stalled),
    ),
    actions.Slow: ("slowness", lambda core, action: setattr(core, "slowness", action.factor)),
    actions.Swap: ("identity", lambda core, action: setattr(core, "identity", action.identity)),
    actions.Firmware: (
        "revisions",
        lambda core, action: setattr(core, "revision", action.revision),
    ),
    actions.PowerCycle: ("power_cycle", lambda core, _: core.power_cycle()),
    actions.Reset: ("lose_settings", lambda core, _: core.lose_settings()),
}


class WorldError(ValueError):
    """An action that this lab cannot carry out; the message says why."""


@dataclass
class _Place:
    """One end of the table: what stands there and what befell its arm."""

    settings: End
    clock: DriftingClock
    detectors: dict[int, roles.Detector] = field(default_factory=dict)
    tagger: roles.Tagger | None = None
    attenuators: list[roles.Loss] = field(default_factory=list)
    added_loss_db: float = 0.0
    cut: bool = False

    @property
    def transmission(self) -> float:
        inserted_db = sum(attenuator.loss_db for attenuator in self.attenuators)
        loss_db = self.settings.loss_db + self.added_loss_db + inserted_db
        return 0.0 if self.cut else 10.0 ** (-max(0.0, loss_db) / 10.0)


class World:
    """Everything on the table. Advances only by `tick`; no I/O, no wall clock."""

    def __init__(self, lab: Lab) -> None:
        seeds = np.random.SeedSequence(lab.seed).spawn(8)
        self.lab = lab
        self.now_ps = 0
        self.cores: dict[str, Core] = {}
        self.taggers: dict[str, roles.Tagger] = {}
        self._identities: dict[str, str] = {}
        self._tick_ps = round(lab.tick_ms * PS_PER_S / 1000)
        self._photons = PhotonSource(int(seeds[0].generate_state(1, np.uint64)[0]))
        self._walk = np.random.default_rng(seeds[1])
        self._fibre = rotation(lab.fibre.rotation_rad)
        self._attack_fraction = 0.0
        self._pump: roles.Pump | None = None
        self._oven: roles.Oven | None = None
        self._retarders: list[roles.Retarders] = []
        self._monitors: list[roles.Monitor] = []
        self._places = [
            _Place(end, DriftingClock(end.clock, np.random.default_rng(seeds[2 + i])))
            for i, end in enumerate(lab.ends.get(name, End()) for name in ENDS)
        ]
        tagger_seeds = seeds[4:6]
        for instrument in lab.instruments:
            if SIMULATED[instrument.model].role is Role.TAGGER:
                seed = tagger_seeds[ENDS.index(instrument.end)]
            else:
                (seed,) = seeds[6].spawn(1)
            core = self._install(instrument, np.random.default_rng(seed))
            self.cores[instrument.name] = core
            if hasattr(core, "identity"):
                self._identities[instrument.name] = core.identity

    def tick(self) -> None:
        """Moves the whole table on by one tick."""
        until_ps = self.now_ps + self._tick_ps
        self._walk_fibre()
        seen = any(self._wanted(place) for place in self._places)
        clicks = self._photons.generate(self._look() if seen else _UNSEEN, until_ps)
        for place, (times_ps, channels) in zip(self._places, clicks, strict=True):
            self._deliver(place, times_ps, channels)
        self.now_ps = until_ps
        for place in self._places:
            own_ps = place.clock.step_to(until_ps)
            if place.tagger is not None:
                place.tagger.advance(own_ps)
        for monitor in self._monitors:
            monitor.light_w = self._pump_light_w()
        for name, core in self.cores.items():
            if name not in self.taggers:
                core.advance(until_ps)

    def check(self, action: Action) -> None:
        """Raises WorldError if there is no such device, or nothing of that kind can befall it."""
        name = getattr(action, "device", None)
        if name is None:
            return
        if (core := self.cores.get(name)) is None:
            known = ", ".join(self.cores) or "none"
            raise WorldError(f"there is no device {name!r}; this lab has {known}")
        if type(action) in _BEFALLS and not hasattr(core, _BEFALLS[type(action)][0]):
            raise WorldError(f"{name} is a {type(core).__name__}, to which that cannot happen")
        if isinstance(action, actions.Firmware):
            revisions = {"": "", **cast("Any", core).revisions}
            if action.revision not in revisions:
                raise WorldError(
                    f"{name} has no firmware {action.revision!r}; it has "
                    + ", ".join(f"{each} ({how})" for each, how in revisions.items() if each)
                )

    def act(self, action: Action) -> None:
        """Carries out an action on the table or in a device. Raises WorldError."""
        self.check(action)
        match action:
            case actions.Attack(fraction=fraction):
                self._attack_fraction = fraction
            case actions.FibreCut(end=end):
                self._place(end).cut = True
            case actions.FibreRestore(end=end):
                self._place(end).cut = False
                self._place(end).added_loss_db = 0.0
            case actions.Loss(loss_db=loss_db, end=end):
                self._place(end).added_loss_db += loss_db
            case actions.Kick(rotation_rad=vector):
                self._fibre = rotation(vector) @ self._fibre
            case actions.ClockStep(end=end, step_ns=step_ns, error_ppm=error_ppm):
                self._place(end).clock.disturb(round(step_ns * 1000), error_ppm)
            case actions.Swap(device=name, identity=""):
                cast("Any", self.cores[name]).identity = self._identities[name]
            case actions.WireFault() | actions.Status():
                pass
            case _:
                _, befall = _BEFALLS[type(action)]
                befall(self.cores[action.device], action)

    def status(self) -> dict[str, object]:
        """The true state of the table, which no instrument can tell."""
        light = self._emission()
        table = self._look()
        zz, _, _, xx = table.correlation
        return {
            "time_s": self.now_ps / PS_PER_S,
            "pair_rate_hz": light.pair_rate_hz,
            "visibility": light.visibility,
            "qber_z": (1.0 - zz) / 2.0,
            "qber_x": (1.0 - xx) / 2.0,
            "transmission": list(table.transmission),
            "efficiency": list(table.efficiency),
            "dark_rate_hz": list(table.dark_rate_hz),
            "clock_error_ppm": [place.clock.rate_error * 1e6 for place in self._places],
            "attack_fraction": self._attack_fraction,
        }

    def _install(self, instrument: Instrument, random: np.random.Generator) -> Core:
        model = SIMULATED[instrument.model]
        place = self._place(instrument.end)
        core = model.make(
            Spot(
                f"{self.lab.seed:04d}-{instrument.name}",
                place.settings,
                random,
                self.lab.thermal_speed,
                self.lab.tagger_fifo_bytes,
            )
        )
        self._couple(cast("Any", core), model.role, place, instrument)
        return core

    def _couple(self, core: Any, role: Role, place: _Place, instrument: Instrument) -> None:
        match role:
            case Role.PUMP:
                self._pump = core
            case Role.OVEN:
                self._oven = core
            case Role.SOURCE:
                self._pump = self._oven = core
            case Role.RETARDERS:
                self._retarders.append(core)
            case Role.ATTENUATOR:
                place.attenuators.append(core)
            case Role.DETECTOR:
                place.detectors[instrument.detector] = core
            case Role.NANOWIRES:
                place.detectors.update(enumerate(core.channels, 1))
            case Role.TAGGER:
                core.advance(place.clock.step_to(0))
                place.tagger = self.taggers[instrument.name] = core
            case Role.MONITOR:
                self._monitors.append(core)
            case Role.NONE:
                pass

    def _place(self, end: str) -> _Place:
        return self._places[ENDS.index(end)]

    def _wanted(self, place: _Place) -> bool:
        tagger = place.tagger
        return (tagger is not None and tagger.wants_clicks) or any(
            spd.counting for spd in place.detectors.values()
        )

    def _deliver(
        self, place: _Place, times_ps: npt.NDArray[np.int64], channels: npt.NDArray[np.uint8]
    ) -> None:
        for number, spd in place.detectors.items():
            if spd.counting:
                spd.clicks(times_ps[channels == number])
        if place.tagger is not None and place.tagger.wants_clicks:
            delay_ps = round(place.settings.delay_ns * 1000)
            place.tagger.clicks(place.clock.to_own(times_ps + delay_ps), channels)

    def _walk_fibre(self) -> None:
        step = self.lab.fibre.walk_rad_per_sqrt_s * (self._tick_ps / PS_PER_S) ** 0.5
        turned = rotation(self._walk.standard_normal(3) * step) @ self._fibre
        # One Newton step back to orthogonality, so that rounding never adds up.
        self._fibre = 1.5 * turned - 0.5 * turned @ turned.T @ turned

    def _pump_light_w(self) -> float:
        if self._pump is None:
            return 0.0
        return _PUMP_W_PER_A * max(0.0, self._pump.current_a - self.lab.source.threshold_a)

    def _emission(self) -> Emission:
        if self._pump is None or self._oven is None:
            return Emission(0.0, 0.0)
        pump = self._pump
        return emission(self.lab.source, pump.current_a, pump.diode_c, self._oven.crystal_c)

    def _look(self) -> PhotonTable:
        """The table as the instruments' settings make it at this moment."""
        light = self._emission()
        channel = self._fibre
        for retarders in self._retarders:
            channel = retarders.turn(self.lab.fibre.half_wave_voltage_mv) @ channel
        responses = [
            place.detectors[number].response() if number in place.detectors else _DARK
            for place in self._places
            for number in (1, 2, 3, 4)
        ]
        settings = [place.settings.detectors for place in self._places for _ in range(4)]
        z_a, z_b = (place.settings.basis_z_probability for place in self._places)
        t_a, t_b = (place.transmission for place in self._places)
        return PhotonTable(
            pair_rate_hz=min(_MOST_HZ, light.pair_rate_hz),
            transmission=(t_a, t_b),
            basis_z_probability=(z_a, z_b),
            correlation=correlations(light.visibility, channel, self._attack_fraction),
            efficiency=_eight([r.efficiency for r in responses]),
            dark_rate_hz=_eight([min(_MOST_HZ, r.dark_cps) for r in responses]),
            jitter_ps=_eight([d.jitter_ps for d in settings]),
            dead_time_ps=tuple(round(d.dead_time_ns * 1000) for d in settings),  # type: ignore[arg-type]
            afterpulse_probability=_eight([d.afterpulse_probability for d in settings]),
            afterpulse_decay_ps=_eight([d.afterpulse_decay_ns * 1000 for d in settings]),
        )


def _eight(values: list[float]) -> Eight:
    a, b, c, d, e, f, g, h = values
    return a, b, c, d, e, f, g, h
