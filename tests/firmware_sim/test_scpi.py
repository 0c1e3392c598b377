"""The status model and the parser, against IEEE 488.2 and SCPI-99."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_firmware_sim.cores.itc4000 import Itc4000
from qkd_firmware_sim.scpi import ScpiSession


@pytest.fixture
def itc() -> Itc4000:
    instrument = Itc4000("M00400001")
    instrument.execute("*CLS")
    return instrument


@pytest.mark.parametrize(
    "header",
    [
        "SOUR:CURR",
        "source1:current:level:immediate:amplitude",
        ":Sour:Curr:Lev",
        "CURR",
        "CURRENT:AMPL",
    ],
)
def test_short_and_long_forms_and_optional_nodes_name_one_setting(
    itc: Itc4000, header: str
) -> None:
    itc.execute(f"{header} 0.05")
    assert itc.execute("SYST:ERR?") == '+0,"No error"'
    assert float(itc.execute("SOUR:CURR?") or "nan") == 0.05


@pytest.mark.parametrize("header", ["SOURC:CURR", "SOUR3:CURR", "CURRE", "SOUR:CURR:LEV:FOO"])
def test_other_spellings_are_undefined_headers(itc: Itc4000, header: str) -> None:
    itc.execute(f"{header} 0.05")
    assert (itc.execute("SYST:ERR?") or "").startswith("-113,")


@pytest.mark.parametrize("text", ["50mA", "50 MA", "0.05 A", "50000uA", "5E-2", "0.05"])
def test_units_and_prefixes(itc: Itc4000, text: str) -> None:
    if text == "50 MA":
        text = "50e-9 MAA"
    itc.execute(f"SOUR:CURR {text}")
    assert float(itc.execute("SOUR:CURR?") or "nan") == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("SOUR:CURR 50mV", -131),
        ("SOUR:CURR", -109),
        ("SOUR:CURR 0.01,0.02", -108),
        ("SOUR:CURR abc", -104),
        ("SOUR:CURR 0.2", -222),
        ("SOUR:CURR nan", -104),
        ("SOUR:FUNC:MODE BLUE", -224),
        ("*ESE 5V", -138),
        ("*RST 1", -108),
        ("FOO:BAR", -113),
        ("*FOO?", -113),
        ("SOUR::CURR?", -102),
    ],
)
def test_each_slip_has_its_own_error_and_event_bit(itc: Itc4000, message: str, code: int) -> None:
    assert itc.execute(message) is None
    assert (itc.execute("SYST:ERR?") or "").startswith(f"{code:+d},")
    assert itc.execute("*ESR?") == ("32" if code > -200 else "16")


def test_a_semicolon_stays_in_the_subtree_and_a_colon_returns_to_the_root(itc: Itc4000) -> None:
    assert itc.execute("SOUR:CURR:LIM 0.2;LIM?;*OPC?;LIM?;:OUTP1:STAT?") == (
        "2.000000E-01;1;2.000000E-01;0"
    )
    itc.execute("SOUR:CURR:LIM 0.2;OUTP1:STAT?")
    assert (itc.execute("SYST:ERR?") or "").startswith("-113,")


def test_minimum_and_maximum_follow_the_limit(itc: Itc4000) -> None:
    itc.execute("SOUR:CURR:LIM 0.08;:SOUR:CURR MAX")
    assert itc.execute("SOUR:CURR?;CURR? MIN;:SOUR:CURR? MAX") == (
        "8.000000E-02;0.000000E+00;8.000000E-02"
    )


def test_a_full_error_queue_ends_in_overflow(itc: Itc4000) -> None:
    for _ in range(40):
        itc.execute("FOO")
    assert itc.execute("SYST:ERR:COUN?") == "32"
    entries = [itc.execute("SYST:ERR?") or "" for _ in range(32)]
    assert entries[-1].startswith("-350,")
    assert all(entry.startswith("-113,") for entry in entries[:-1])
    assert itc.execute("SYST:ERR?") == '+0,"No error"'


def test_clear_keeps_the_enables_and_reset_keeps_the_queue(itc: Itc4000) -> None:
    itc.execute("*ESE 60;*SRE 36;STAT:QUES:ENAB 512;*RST")
    itc.execute("FOO")
    itc.execute("*RST")
    assert itc.execute("SYST:ERR:COUN?") == "1"
    itc.execute("*CLS")
    assert itc.execute("SYST:ERR:COUN?;*ESR?;*ESE?;*SRE?;:STAT:QUES:ENAB?") == "0;0;60;36;512"


def test_the_status_byte_sums_up_the_registers(itc: Itc4000) -> None:
    itc.execute("*ESE 32;*SRE 4;STAT:QUES:ENAB 512")
    assert itc.execute("*STB?") == "0"
    itc.set_interlock(True)
    assert itc.execute("*STB?") == "8"
    itc.execute("FOO")
    assert itc.execute("*STB?") == str(4 | 8 | 32 | 64)
    assert itc.execute("STAT:QUES:COND?;EVEN?;EVEN?") == "512;512;0"
    assert itc.execute("*IDN?;*STB?") is not None
    assert int((itc.execute("*IDN?;*STB?") or "").rpartition(";")[2]) & 16


def test_event_status_is_cleared_by_reading(itc: Itc4000) -> None:
    itc.execute("*OPC")
    assert itc.execute("*ESR?;*ESR?") == "1;0"
    fresh = Itc4000("M00400002")
    assert fresh.execute("*ESR?") == "128"


def test_queries_interrupted_and_unterminated(itc: Itc4000) -> None:
    session = itc.session()
    session.write("*IDN?")
    session.write("*OPC?")
    assert session.status_byte() & 16
    assert session.read() == "1"
    assert (itc.execute("SYST:ERR?") or "").startswith("-410,")
    assert session.read() is None
    assert (itc.execute("SYST:ERR?") or "").startswith("-420,")
    assert itc.execute("*ESR?") == "4"


def test_a_response_beyond_the_output_queue_deadlocks(itc: Itc4000) -> None:
    assert itc.execute(";".join(["*IDN?"] * 5000)) is None
    assert (itc.execute("SYST:ERR?") or "").startswith("-430,")


def test_clients_share_the_error_queue_but_not_the_output(itc: Itc4000) -> None:
    one, other = itc.session(), itc.session()
    one.receive(b"FOO\n*IDN?\n")
    other.receive(b"SYST:ERR?\r\n")
    assert other.take(100).startswith(b"-113,")
    assert one.take(100).startswith(b"Thorlabs,ITC4001,")


def test_a_split_line_is_one_message(itc: Itc4000) -> None:
    session = itc.session()
    for byte in b"*OPC?\r\n":
        session.receive(bytes([byte]))
    assert session.take(10) == b"1\n"


UNITS = """*IDN? *RST *TST? *CLS *WAI *OPC *OPC? *ESR? *STB? *ESE 32 *SRE? OUTP1 ON OUTP2:STAT 1
OUTP? SOUR:CURR? CURR 0.05 CURR? MAX SOUR:CURR:LIM 90mA :SOUR2:TEMP:SPO 20 SYST:ERR? SYST:ERR:COUN?
STAT:QUES? STAT:OPER:COND? STAT:PRES MEAS:TEMP? SENS4:VOLT:DATA? MEAS:POW2? *SAV 1 *RCL 1
LIM? : ;"""
UNIT = st.one_of(
    st.sampled_from(UNITS.split()),
    st.tuples(st.sampled_from(UNITS.split()), st.text(max_size=4)).map(" ".join),
)


@given(st.lists(st.lists(UNIT, max_size=5).map(";".join), max_size=15))
def test_any_sequence_of_commands_gets_well_formed_answers(messages: list[str]) -> None:
    instrument = Itc4000("M00400004")
    for now, message in enumerate(messages, 1):
        answer = instrument.execute(message)
        instrument.advance(now * 10**11)
        assert answer is None or (answer and "\n" not in answer)
        assert 0 <= instrument.current_a <= 1
    for _ in range(33):
        code, _, text = (instrument.execute(":SYST:ERR?") or "").partition(",")
        assert -500 < int(code) <= 0
        assert text.startswith('"')
        assert text.endswith('"')
    assert instrument.execute(":SYST:ERR:COUN?") == "0"


@given(st.binary(max_size=300))
def test_no_bytes_break_the_instrument(noise: bytes) -> None:
    instrument = Itc4000("M00400003")
    session: ScpiSession = instrument.session()
    session.receive(noise + b"\n*CLS\n")
    session.take(1 << 20)
    session.receive(b"SYST:ERR?\n")
    assert session.take(100) == b'+0,"No error"\n'
