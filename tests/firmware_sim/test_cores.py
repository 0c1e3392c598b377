"""Instrument cores on a virtual clock: what their manuals and public drivers say of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_firmware_sim.cores.core import PS_PER_S, SerialCore
from qkd_firmware_sim.cores.epc400 import Epc400
from qkd_firmware_sim.cores.itc4000 import Itc4000
from qkd_firmware_sim.cores.s15_spd import Diode, Spd
from qkd_firmware_sim.cores.s15_spdc import SpdcDriver
from qkd_firmware_sim.cores.s15_tdc1 import DUMMY_INTERVAL_TICKS, TICK_PS, Tdc1


def ask(core: SerialCore, command: bytes) -> str:
    core.receive(command)
    return core.take(1 << 20).decode()


def run(core: SerialCore | Itc4000, seconds: float, step_s: float = 0.02) -> None:
    end = core.now_ps + round(seconds * PS_PER_S)
    while core.now_ps < end:
        core.advance(min(end, core.now_ps + round(step_s * PS_PER_S)))


def tagger(**options: int) -> Tdc1:
    return Tdc1("TDC1-1", np.random.default_rng(1), **options)  # type: ignore[arg-type]


def start(core: Tdc1, command: bytes = b"*RST;NIM;time 0;timestamp;counts?\r\n") -> None:
    assert ask(core, command) == ""


def words(core: Tdc1) -> np.ndarray:
    return np.frombuffer(core.take(1 << 24), dtype="<u4")


def feed(core: Tdc1, times_ps: list[int], channels: list[int]) -> None:
    core.clicks(np.array(times_ps, dtype=np.int64), np.array(channels, dtype=np.uint8))


class TestTdc1:
    def test_words_carry_differences_and_patterns(self) -> None:
        core = tagger()
        start(core)
        feed(core, [10_000, 11_000, 16_000, 900_000], [1, 4, 2, 3])
        core.receive(b"INPKT;")
        got = words(core)
        assert list(got & 0x1F) == [0b1001, 0b0010, 0b0100]
        assert list(np.diff((got >> 5).astype(np.int64)) % 2**27) == [3, 442]

    def test_each_run_starts_at_another_phase(self) -> None:
        core = tagger()
        firsts = set()
        for _ in range(3):
            start(core)
            feed(core, [core.now_ps], [1])
            core.receive(b"abort;")
            firsts.add(int(words(core)[0]))
        assert len(firsts) == 3

    def test_silence_is_filled_with_dummies(self) -> None:
        core = tagger()
        start(core)
        run(core, 1.0)
        core.receive(b"inpkt\n")
        got = words(core)
        assert list(got & 0x1F) == [0x10] * 7
        assert set(np.diff((got >> 5).astype(np.int64)) % 2**27) == {DUMMY_INTERVAL_TICKS}

    def test_words_wait_for_a_full_packet(self) -> None:
        core = tagger()
        start(core)
        feed(core, [i * 4000 for i in range(200)], [1] * 200)
        core.advance(PS_PER_S // 100)
        assert len(words(core)) == 128
        core.receive(b"INPKT;")
        assert len(words(core)) == 72

    def test_a_stream_ends_with_its_time(self) -> None:
        core = tagger()
        start(core, b"timestamp;time 100;counts?;")
        feed(core, [PS_PER_S // 20, PS_PER_S // 5], [1, 1])
        run(core, 0.3)
        assert len(words(core)) == 1
        assert not core.wants_clicks

    def test_data_leave_late_by_the_start_latency(self) -> None:
        core = tagger(max_start_latency_ps=50 * PS_PER_S // 1000)
        start(core)
        feed(core, [i * 4000 for i in range(128)], [1] * 128)
        core.advance(1)
        assert not len(words(core))
        core.advance(PS_PER_S // 20)
        assert len(words(core)) == 128

    def test_status_has_seven_bytes_and_tells_of_overflow_until_the_next_run(self) -> None:
        core = tagger(fifo_bytes=1024)
        assert ask(core, b"status?\r\n") == "0000 \r\n"
        start(core)
        feed(core, [i * 4000 for i in range(300)], [1] * 300)
        core.receive(b"abort\r\n")
        assert len(words(core)) == 256
        assert ask(core, b"status?\r\n") == "0010 \r\n"
        start(core)
        assert ask(core, b"status?;") == "0000 \r\n"

    def test_singles_and_pairs_are_counted_over_a_real_gate(self) -> None:
        core = tagger()
        assert ask(core, b"singles;time 100;counts?\r\n*idn?\r\n") == ""
        feed(core, [5, 10, 20, PS_PER_S], [1, 1, 3, 4])
        core.advance(PS_PER_S // 11)
        assert core.take(100) == b""
        core.advance(PS_PER_S // 10)
        assert core.take(100).startswith(b"2 0 1 0\r\nS-Fifteen Instruments TDC1")
        t0 = core.now_ps
        assert ask(core, b"pairs;counts?;") == ""
        feed(core, [t0 + 5, t0 + 10, t0 + 900_000], [1, 3, 4])
        run(core, 0.1)
        assert core.take(100) == b"1 0 1 1 1 0 0 0\r\n"

    def test_abort_ends_a_gate_without_an_answer(self) -> None:
        core = tagger()
        assert ask(core, b"time 60000;counts?\r\n") == ""
        assert ask(core, b"abort\r\n*idn?\r\n").startswith("S-Fifteen")

    def test_gate_times_come_back_signed(self) -> None:
        core = tagger()
        assert ask(core, b"time 65535;time?\r\n") == "-1\r\n"
        assert ask(core, b"time 32767;TIME?\r\n") == "32767\r\n"
        assert "Error" in ask(core, b"time 65536\r\n")

    def test_pulses_that_do_not_cross_the_level_are_not_seen(self) -> None:
        core = tagger()
        start(core, b"TTL;timestamp;time 0;counts?;")
        feed(core, [1000], [1])
        core.receive(b"abort;")
        assert not len(words(core))

    @given(st.lists(st.integers(TICK_PS, 400_000_000_000), min_size=1, max_size=20))
    @settings(max_examples=50)
    def test_unwrapping_by_difference_restores_every_time(self, gaps: list[int]) -> None:
        core = tagger()
        start(core)
        times = np.cumsum(gaps)
        for time in times:
            while core.now_ps + PS_PER_S // 50 < time:
                core.advance(core.now_ps + PS_PER_S // 50)
            feed(core, [int(time)], [1])
        core.receive(b"abort;")
        got = words(core)
        unwrapped = np.cumsum(np.diff((got >> 5).astype(np.int64), prepend=0) % 2**27)
        clicks = unwrapped[(got & 0x10) == 0]
        assert list(np.diff(clicks)) == list(np.diff(np.unique(times // TICK_PS)))


class TestSpd:
    def cooled(self, bias_v: float = 195.0) -> Spd:
        core = Spd("SPD-1", Diode(), thermal_speed=10)
        core.receive(f"settemp -10;loop 1;hvolt {bias_v}\r\n".encode())
        run(core, 10)
        return core

    def test_settings_read_back_and_sets_are_silent(self) -> None:
        core = Spd("SPD-1", Diode())
        assert ask(core, b"hvolt 195.5\r\nthreshvolt 0.15\r\n") == ""
        assert ask(core, b"hvolt?;threshvolt?;") == "195.500\r\n0.150\r\n"

    def test_an_out_of_range_value_answers_an_error_line_and_changes_nothing(self) -> None:
        core = Spd("SPD-1", Diode())
        assert ask(core, b"hvolt 900\r\n").startswith("Error")
        assert ask(core, b"hvolt?;") == "0.000\r\n"

    def test_nothing_is_seen_below_breakdown(self) -> None:
        dead = self.cooled(bias_v=175).response()
        assert dead.efficiency == 0
        assert dead.dark_cps < 1

    def test_bias_raises_efficiency_and_dark_counts(self) -> None:
        low, high = self.cooled(190).response(), self.cooled(200).response()
        assert 0 < low.efficiency < high.efficiency < 0.6
        assert 0 < low.dark_cps < high.dark_cps

    def test_cooling_lowers_dark_counts(self) -> None:
        core = self.cooled()
        cold = core.response().dark_cps
        core.warm_by(20)
        assert core.response().dark_cps > 2 * cold

    def test_the_threshold_is_a_window(self) -> None:
        core = self.cooled()
        core.receive(b"threshvolt 0.0\r\n")
        assert core.response().dark_cps > 1e5
        core.receive(b"threshvolt 1.5\r\n")
        assert core.response().efficiency < 1e-6

    def test_counts_answer_when_the_gate_ends(self) -> None:
        core = Spd("SPD-1", Diode())
        assert ask(core, b"time 100;counts?;") == ""
        core.clicks(np.array([1, 2, PS_PER_S // 5], dtype=np.int64))
        core.advance(PS_PER_S // 10)
        assert core.take(20) == b"2\r\n"

    def test_saved_settings_survive_a_power_cycle_and_others_do_not(self) -> None:
        core = Spd("SPD-1", Diode())
        core.receive(b"hvolt 190;save;hvolt 150;")
        core.power_cycle()
        assert ask(core, b"hvolt?;") == "190.000\r\n"
        core.lose_settings()
        assert ask(core, b"hvolt?;") == "0.000\r\n"


class TestSpdcDriver:
    def test_the_heater_voltage_is_the_loops_output(self) -> None:
        core = SpdcDriver("SPDC-1")
        core.receive(b"power 1;hvolt 1;hrate 1;hsettemp 45;")
        assert ask(core, b"hvolt?;") == "1.000\r\n"
        core.receive(b"hloop 1;")
        run(core, 60)
        assert core.crystal_c == pytest.approx(45, abs=0.1)
        assert float(ask(core, b"hvolt?;")) > 2
        core.receive(b"hloop 0;")
        assert ask(core, b"hvolt?;") == "1.000\r\n"

    def test_the_crystal_follows_the_ramp_and_settles(self) -> None:
        core = SpdcDriver("SPDC-1")
        core.receive(b"power 1;hrate 1;hsettemp 45;hloop 1;")
        run(core, 10)
        assert float(ask(core, b"htarget?;")) == pytest.approx(33, abs=0.1)
        run(core, 30)
        assert float(ask(core, b"htemp?;")) == pytest.approx(45, abs=0.01)
        assert ask(core, b"status?;") == "257\r\n"

    def test_without_power_nothing_heats(self) -> None:
        core = SpdcDriver("SPDC-1")
        core.receive(b"hsettemp 45;hloop 1;")
        run(core, 20)
        assert core.crystal_c == pytest.approx(23)


class TestEpc400:
    def test_every_command_ends_with_done(self) -> None:
        core = Epc400()
        assert ask(core, b"V1,-1200\r\n") == "Done\r\n"
        assert ask(core, b"V?\r\n") == "Voltage(mV): CH1 -1200 CH2 +0 CH3 +0 CH4 +0\r\nDone\r\n"
        assert ask(core, b"VH2\r\nM?\r\n") == "Done\r\nWork Mode: DC\r\nDone\r\n"

    @pytest.mark.parametrize("command", [b"V5,100", b"V1,5001", b"HELLO", b"F1,101"])
    def test_what_it_refuses_is_an_error(self, command: bytes) -> None:
        core = Epc400()
        assert ask(core, command + b"\r\n") == "Error!\r\n"
        assert core.voltages_mv == (0, 0, 0, 0)


class TestItc4000:
    def test_an_open_interlock_trips_the_laser_and_does_not_rearm_it(self) -> None:
        core = Itc4000("M1")
        core.execute("*CLS;:OUTP2 ON;:SOUR:CURR 0.06;:OUTP1 ON")
        assert core.current_a == 0.06
        core.set_interlock(True)
        assert core.execute("OUTP1?;:OUTP1:PROT:INTL:TRIP?") == "0;1"
        core.execute("*CLS;:OUTP1 ON")
        assert (core.execute("SYST:ERR?") or "").startswith("-221,")
        core.set_interlock(False)
        assert core.current_a == 0

    def test_the_tec_holds_the_diode_and_heat_trips_without_it(self) -> None:
        core = Itc4000("M1")
        core.execute("OUTP2 ON;:SOUR2:TEMP:SPO 20;:SOUR:CURR:LIM 1;:SOUR:CURR 0.9;:OUTP1 ON")
        run(core, 30)
        assert core.diode_c == pytest.approx(20, abs=0.01)
        core.execute("OUTP2 OFF")
        run(core, 30)
        assert core.current_a == 0
        assert core.execute("OUTP1:PROT:OTEM:TRIP?") == "1"


WORDS = """*idn? *rst help time? counts? status? abort inpkt singles pairs timestamp mode? nim ttl
level? hvolt? temp? loop? save htemp? hloop status? on off V? F? M? MAC MDC"""
SETTINGS = "time neg pos refclk hvolt settemp loop hrate hsettemp power lcurrent"
COMMANDS = st.sampled_from(WORDS.split())
NUMBERED = st.tuples(
    st.sampled_from(SETTINGS.split()),
    st.one_of(st.integers(-10, 70000), st.floats(allow_nan=True), st.text(max_size=5)),
).map(lambda pair: f"{pair[0]} {pair[1]}")


@given(st.lists(st.one_of(COMMANDS, NUMBERED, st.text(max_size=20)), max_size=30))
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize(
    "make",
    [tagger, lambda: Spd("S", Diode()), lambda: SpdcDriver("S"), Epc400],
    ids=["tdc1", "spd", "spdc", "epc"],
)
def test_no_command_sequence_breaks_a_core(make: object, commands: list[str]) -> None:
    core: SerialCore = make()  # type: ignore[operator]
    for command in commands:
        core.receive(command.encode("utf-8", "replace") + b"\r\n")
        core.advance(core.now_ps + PS_PER_S // 10)
    streaming = isinstance(core, Tdc1)
    text = core.take(1 << 24)
    if not streaming and text:
        assert text.endswith(b"\r\n")
        assert text.isascii()
    core.receive(b"abort;\r\n")
    core.take(1 << 24)
    query, answer = (b"V?\r\n", b"Voltage") if isinstance(core, Epc400) else (b"*idn?;", b"S-F")
    core.receive(query)
    assert core.take(1 << 24).startswith(answer)
