"""The optical world: couples the instruments through light, tick by tick of virtual time."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qkd_firmware_sim import actions
from qkd_firmware_sim.actions import Action
from qkd_firmware_sim.clocks import DriftingClock
from qkd_firmware_sim.cores.core import PS_PER_S, Core
from qkd_firmware_sim.cores.epc400 import Epc400
from qkd_firmware_sim.cores.itc4000 import Itc4000
from qkd_firmware_sim.cores.s15_spd import Diode, Response, Spd
from qkd_firmware_sim.cores.s15_spdc import SpdcDriver
from qkd_firmware_sim.cores.s15_tdc1 import Tdc1
from qkd_firmware_sim.lab import ENDS, End, Instrument, Lab
from qkd_firmware_sim.optics import Emission, correlations, emission, rotation, squeezers
from qkd_native.photons import Eight, PhotonSource, PhotonTable

_DARK = Response(0.0, 0.0)
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


class WorldError(ValueError):
    """An action that this lab cannot carry out; the message says why."""


@dataclass
class _Place:
    """One end of the table: what stands there and what befell its arm."""

    settings: End
    clock: DriftingClock
    detectors: dict[int, Spd] = field(default_factory=dict)
    tagger: Tdc1 | None = None
    added_loss_db: float = 0.0
    cut: bool = False

    @property
    def transmission(self) -> float:
        loss_db = self.settings.loss_db + self.added_loss_db
        return 0.0 if self.cut else min(1.0, 10.0 ** (-loss_db / 10.0))


class World:
    """Everything on the table. Advances only by `tick`; no I/O, no wall clock."""

    def __init__(self, lab: Lab) -> None:
        seeds = np.random.SeedSequence(lab.seed).spawn(8)
        self.lab = lab
        self.now_ps = 0
        self.cores: dict[str, Core] = {}
        self.taggers: dict[str, Tdc1] = {}
        self._tick_ps = round(lab.tick_ms * PS_PER_S / 1000)
        self._photons = PhotonSource(int(seeds[0].generate_state(1, np.uint64)[0]))
        self._walk = np.random.default_rng(seeds[1])
        self._fibre = rotation(lab.fibre.rotation_rad)
        self._scrambled_mv: tuple[int, ...] = (0, 0, 0, 0)
        self._attack_fraction = 0.0
        self._pump: Itc4000 | None = None
        self._oven: SpdcDriver | None = None
        self._epc: Epc400 | None = None
        self._places = [
            _Place(end, DriftingClock(end.clock, np.random.default_rng(seeds[2 + i])))
            for i, end in enumerate(lab.ends.get(name, End()) for name in ENDS)
        ]
        tagger_seeds = seeds[4:6]
        for instrument in lab.instruments:
            core = self._install(instrument, tagger_seeds[ENDS.index(instrument.end)])
            self.cores[instrument.name] = core

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
        for core in self.cores.values():
            if not isinstance(core, Tdc1):
                core.advance(until_ps)

    def act(self, action: Action) -> None:
        """Carries out an action on the table or in a device. Raises WorldError."""
        match action:
            case actions.Attack(fraction=fraction):
                if not 0 <= fraction <= 1:
                    raise WorldError("fraction must lie in 0 to 1")
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
            case actions.Overflow(device=name):
                self._device(name, Tdc1).overflow()
            case actions.Interlock(device=name, open=is_open):
                self._device(name, Itc4000).set_interlock(is_open)
            case actions.KeyLock(device=name, locked=locked):
                self._device(name, Itc4000).set_key_lock(locked)
            case actions.Latch(device=name, latched=latched):
                self._device(name, Spd).latched = latched
            case actions.Warm(device=name, kelvin=kelvin):
                self._device(name, Spd, SpdcDriver, Itc4000).warm_by(kelvin)
            case actions.PowerCycle(device=name):
                self._device(name).power_cycle()
            case actions.Reset(device=name):
                self._device(name, Spd, SpdcDriver, Itc4000, Epc400, Tdc1).lose_settings()
            case _:
                pass

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

    def _install(self, instrument: Instrument, seed: np.random.SeedSequence) -> Core:
        serial_number = f"{self.lab.seed:04d}-{instrument.name}"
        speed = self.lab.thermal_speed
        place = self._place(instrument.end)
        detectors = place.settings.detectors
        match instrument.model:
            case "thorlabs-itc4000":
                self._pump = Itc4000(serial_number, thermal_speed=speed)
                return self._pump
            case "s15-spdc":
                self._oven = SpdcDriver(serial_number, thermal_speed=speed)
                return self._oven
            case "oz-epc400":
                self._epc = Epc400()
                return self._epc
            case "s15-spd":
                diode = Diode(
                    breakdown_v=detectors.breakdown_v,
                    rated_dark_cps=detectors.rated_dark_cps,
                    saturated_efficiency=detectors.saturated_efficiency,
                )
                spd = Spd(serial_number, diode, thermal_speed=speed)
                place.detectors[instrument.detector] = spd
                return spd
            case "s15-tdc1":
                latency_ps = round(place.settings.clock.max_start_latency_ms * PS_PER_S / 1000)
                tagger = Tdc1(
                    serial_number,
                    np.random.default_rng(seed),
                    max_start_latency_ps=latency_ps,
                    fifo_bytes=self.lab.tagger_fifo_bytes,
                    pulses=detectors.pulses,
                )
                tagger.advance(place.clock.step_to(0))
                place.tagger = self.taggers[instrument.name] = tagger
                return tagger

    def _place(self, end: str) -> _Place:
        return self._places[ENDS.index(end)]

    def _device(self, name: str, *kinds: type[Any]) -> Any:
        """The core of a name, of one of the kinds if any are given."""
        core = self.cores.get(name)
        if core is None:
            raise WorldError(f"there is no device {name!r}; this lab has {', '.join(self.cores)}")
        if kinds and not isinstance(core, kinds):
            raise WorldError(f"{name} is a {type(core).__name__}, to which that cannot happen")
        return core

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
        if self._epc is not None and self._epc.scrambling:
            self._scrambled_mv = tuple(int(v) for v in self._walk.integers(-5000, 5001, 4))
        self._fibre = 1.5 * turned - 0.5 * turned @ turned.T @ turned

    def _emission(self) -> Emission:
        if self._pump is None or self._oven is None:
            return Emission(0.0, 0.0)
        pump = self._pump
        return emission(self.lab.source, pump.current_a, pump.diode_c, self._oven.crystal_c)

    def _look(self) -> PhotonTable:
        """The table as the instruments' settings make it at this moment."""
        light = self._emission()
        channel = self._fibre
        if self._epc is not None:
            volts = self._scrambled_mv if self._epc.scrambling else self._epc.voltages_mv
            channel = squeezers(volts, self.lab.fibre.half_wave_voltage_mv) @ channel
        responses = [
            place.detectors[number].response() if number in place.detectors else _DARK
            for place in self._places
            for number in (1, 2, 3, 4)
        ]
        settings = [place.settings.detectors for place in self._places for _ in range(4)]
        z_a, z_b = (place.settings.basis_z_probability for place in self._places)
        t_a, t_b = (place.transmission for place in self._places)
        return PhotonTable(
            pair_rate_hz=light.pair_rate_hz,
            transmission=(t_a, t_b),
            basis_z_probability=(z_a, z_b),
            correlation=correlations(light.visibility, channel, self._attack_fraction),
            efficiency=_eight([r.efficiency for r in responses]),
            dark_rate_hz=_eight([r.dark_cps for r in responses]),
            jitter_ps=_eight([d.jitter_ps for d in settings]),
            dead_time_ps=tuple(round(d.dead_time_ns * 1000) for d in settings),  # type: ignore[arg-type]
            afterpulse_probability=_eight([d.afterpulse_probability for d in settings]),
            afterpulse_decay_ps=_eight([d.afterpulse_decay_ns * 1000 for d in settings]),
        )


def _eight(values: list[float]) -> Eight:
    a, b, c, d, e, f, g, h = values
    return a, b, c, d, e, f, g, h
