"""`qkd check`: a node file and all it names, with every fault at once."""

import tomllib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from slips import with_a_slip_of_the_pen, with_slips

from qkd_controller.cli.main import main
from qkd_controller.cli.site import DemoSite, build_site
from qkd_controller.config.errors import ConfigError
from qkd_controller.config.load import load_link, load_node
from qkd_controller.node.validation import validate

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.fixture
def site(tmp_path: Path) -> DemoSite:
    return build_site(CONFIGS, tmp_path / "site")


def faults(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        validate(path)
    return caught.value.faults


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_demo_is_sound_and_says_what_a_block_gives(
    site: DemoSite, capsys: pytest.CaptureFixture[str]
) -> None:
    for node in site.nodes.values():
        assert validate(node.config).released_bits[0] > 10_000
        assert main(["check", str(node.config)]) == 0
    told = capsys.readouterr().out
    assert "bits of key" in told
    assert "the leakage budget carries a QBER of 3.24%" in told


def test_faults_of_all_files_come_together(
    site: DemoSite, capsys: pytest.CaptureFixture[str]
) -> None:
    alice = site.nodes["alice"].config
    change(alice, 'model = "s15-tdc1"', 'model = "s15-tdc9"')
    change(alice, "bias_voltage_v = 195.0", "bias_voltage_v = -1.0")
    change(alice, 'certificate = "../pki/node-alice.pem"', 'certificate = "../pki/node-bob.pem"')
    change(alice, 'basis = "x", bit = 1', 'basis = "x", bit = 0')
    change(site.directory / "link.toml", "test_slice_every = 20", "test_slice_every = 1")
    change(site.directory / "link.toml", 'listener = "alice"', 'listener = "eve"')
    found = faults(alice)
    for expected in (
        "s15-tdc9",
        "bias_voltage_v",
        "is of node bob, not of node alice",
        "no channel for x1",
        "test_slice_every",
        "roles.listener",
    ):
        assert any(expected in fault for fault in found), expected
    assert main(["check", str(alice)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == len(found)


def test_demo_certificates_are_refused_beyond_loopback(site: DemoSite) -> None:
    bob = site.nodes["bob"].config
    text = bob.read_text()
    bob.write_text(text.replace('address = "127.0.0.1:', 'address = "0.0.0.0:'))
    found = faults(bob)
    assert sum("demonstrations" in fault for fault in found) >= 2


def test_a_plan_that_leaves_no_key_is_a_fault(site: DemoSite) -> None:
    change(
        site.directory / "link.toml", "qber_tolerance_ratio = 0.045", "qber_tolerance_ratio = 0.2"
    )
    assert any("leave no key" in fault for fault in faults(site.nodes["alice"].config))


def test_a_key_that_others_can_read_is_a_fault(site: DemoSite) -> None:
    (site.directory / "pki/node-alice.key").chmod(0o644)
    assert any("chmod 600" in fault for fault in faults(site.nodes["alice"].config))


LINK_FAULTS = [
    ("leakage_budget_bits = 18_500", "leakage_budget_bits = 15_000", "cannot carry the error rate"),
    (
        "leakage_budget_bits = 18_500",
        'leakage_budget_bits = 18_500\nreconciliation = "ldpc"',
        "ldpc may leak",
    ),
    ("max_drift_ppm = 20.0", "max_drift_ppm = nan", "timing.max_drift_ppm"),
    ("slice_ms = 100", "slice_ms = 100000", "timing.slice_ms"),
    ("pairs = 172_000", "pairs = 1.7e14", "block.pairs"),
    ("epsilon_secrecy = 1e-10", "epsilon_secrecy = nan", "block.epsilon_secrecy"),
    ("probe_timeout_s = 10.0", "probe_timeout_s = inf", "alignment.probe_timeout_s"),
    ('name = "demo"', 'name = ""', "cannot name a link"),
    ('name = "demo"', 'name = ".."', "cannot name a link"),
    ('name = "demo"', 'name = "a/b"', "cannot name a link"),
    ('nodes = ["alice", "bob"]', 'nodes = ["alice", ".."]', "cannot name a node"),
    (
        "qber_tolerance_ratio = 0.045",
        "qber_tolerance_ratio = 0.044",
        "alarm_above_qber_ratio: 0.045 lies above block.qber_tolerance_ratio",
    ),
    (
        "start_above_qber_ratio = 0.03",
        "start_above_qber_ratio = 0.045",
        "does not lie above start_above_qber_ratio",
    ),
]
NODE_FAULTS = [
    ("run_duration_s = 5.0", "run_duration_s = nan", "links[0].run_duration_s"),
    ("run_duration_s = 5.0", "run_duration_s = -inf", "links[0].run_duration_s"),
    ("run_duration_s = 5.0", "buffer_limit_mib = 0", "links[0].buffer_limit_mib"),
    ("channel = 4,", "channel = 9,", "s15-tdc1 has channels 1 to 4, not 9"),
    ("channel = 4,", "channel = 3,", "channel 3 is named 2 times"),
    ("bias_voltage_v = 195.0", "bias_voltage_v = 99999.0", "bias_voltage_v"),
    ("bias_voltage_v = 195.0", "bias_voltage_v = nan", "bias_voltage_v = nan"),
    ('level = "NIM"', 'level = "9.9"', "level = 9.9 is outside -3.3 … 3.3"),
    ("serial:../lab/alice-spd-1", "serial:../lab/alice-spd-2", "is taken by"),
    ('kme_id = "kme-alice"', 'kme_id = "a"\nmax_keys_per_request = 0', "max_keys_per_request"),
    ('kme_id = "kme-alice"', 'kme_id = "a"\nmax_key_bits = 65544', "≤ 65536 must hold"),
    ('name = "alice"', f'name = "alice"\nstatus_socket = "{"s" * 108}"', "status_socket"),
    ('sae_id = "sae-alice"', 'sae_id = "sae alice"', "cannot name a sae"),
]


@pytest.mark.parametrize(("old", "new", "said"), LINK_FAULTS)
def test_a_link_that_cannot_work_is_refused(site: DemoSite, old: str, new: str, said: str) -> None:
    change(site.directory / "link.toml", old, new)
    assert any(said in fault for fault in faults(site.nodes["alice"].config))


@pytest.mark.parametrize(("old", "new", "said"), NODE_FAULTS)
def test_a_node_that_cannot_work_is_refused(site: DemoSite, old: str, new: str, said: str) -> None:
    alice = site.nodes["alice"].config
    change(alice, old, new)
    found = faults(alice)
    assert len(found) == 1
    assert said in found[0]


def test_endpoints_on_one_port_are_refused(site: DemoSite) -> None:
    alice = site.nodes["alice"].config
    node = load_node(alice)
    for taken in (node.telemetry.metrics_address, node.links[0].address):
        text = alice.read_text()
        change(alice, node.delivery.address, taken)
        assert any(f"{taken} is taken by" in fault for fault in faults(alice))
        alice.write_text(text)
    # Only the listener of a link listens on its address.
    bob = site.nodes["bob"].config
    change(bob, load_node(bob).delivery.address, node.links[0].address)
    validate(bob)


def test_links_of_one_name_are_refused(site: DemoSite) -> None:
    """What is kept of a link is filed by its name."""
    alice, link = site.nodes["alice"].config, site.directory / "link.toml"
    other = link.with_name("other.toml")
    other.write_text(link.read_text())
    alice.write_text(f'{alice.read_text()}\n[[links]]\nlink_file = "{other}"\n')
    said = "links: 2 of them are called demo"
    assert sum(said in fault for fault in faults(alice)) == 1
    change(other, 'name = "demo"', 'name = "other"')
    assert not any(said in fault for fault in faults(alice))


def test_faults_of_every_layer_come_with_those_of_syntax(site: DemoSite) -> None:
    """What does not convert hides nothing that does."""
    alice = site.nodes["alice"].config
    link = site.directory / "link.toml"
    for old, new in (
        ("run_duration_s = 5.0", 'run_duration_s = "long"\nwindow = 3'),
        ('name = "spd-2"', 'nam = "spd-2"'),
        ("bias_voltage_v = 195.0", "bias_voltage_v = 99999.0"),
        ("channel = 4,", "channel = 9,"),
        ('level = "NIM"', 'level = "9.9"'),
        ('key = "../pki/node-alice.key"', 'key = "../pki/node-bob.key"'),
        ('kme_id = "kme-alice"', 'kme_id = "a"\nmax_keys_per_request = 0'),
    ):
        change(alice, old, new)
    change(link, "slice_ms = 100", 'slice_ms = "short"')
    change(link, 'listener = "alice"', 'listener = "eve"')
    change(link, "max_drift_ppm = 20.0", "max_drift_ppm = nan")
    change(link, "pairs = 172_000", "pairs = 1000")
    found = faults(alice)
    for expected in (
        "run_duration_s: expected `float`",
        "links[0].window: no such setting",
        "links[0].devices[2].nam: no such setting; did you mean name?",
        "links[0].devices[2].name: missing",
        "bias_voltage_v",
        "has channels 1 to 4, not 9",
        "level = 9.9",
        "is the key of another certificate",
        "max_keys_per_request",
        "timing.slice_ms: expected `int`",
        "roles.listener: 'eve'",
        "timing.max_drift_ppm",
        "block.pairs: 1000 pairs cannot give",
    ):
        assert sum(expected in fault for fault in found) == 1, expected
    assert len(found) == 13, found


def test_credentials_are_tried(site: DemoSite) -> None:
    alice, pki = site.nodes["alice"].config, site.directory / "pki"
    (pki / "ca.pem").write_text("no certificate\n")
    (pki / "node-alice.key").write_text("no key\n")
    found = faults(alice)
    assert len(found) == 2
    assert "holds no certificate of an authority" in found[0]
    assert "holds no private key" in found[1]
    (pki / "node-alice.key").unlink()
    (pki / "node-alice.pem").write_text("no certificate\n")
    found = faults(alice)
    assert [fault.split(": ")[1] for fault in found] == ["tls.key", "tls.ca", "tls.certificate"]


def test_an_encrypted_key_is_refused_without_asking(site: DemoSite) -> None:
    key = site.directory / "pki/node-alice.key"
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"word"),
        )
    )
    (fault,) = faults(site.nodes["alice"].config)
    assert "tls.key" in fault and "is encrypted" in fault


def test_the_other_kind_of_file_is_named(site: DemoSite) -> None:
    with pytest.raises(
        ConfigError, match=r"this is a node file; give its link file, \.\./link\.toml"
    ):
        load_link(site.nodes["alice"].config)
    (fault,) = faults(site.directory / "link.toml")
    assert "this is a link file; give the file of a node" in fault


def test_runs_too_short_for_a_test_slice_are_a_fault(site: DemoSite) -> None:
    """Only the end that counts the slices is bound: the runs of the other end have no slices."""
    for name, bound in (("alice", True), ("bob", False)):
        config = site.nodes[name].config
        change(config, "run_duration_s = 5.0", "run_duration_s = 2.0")
        if bound:
            (fault,) = faults(config)
            assert "run_duration_s" in fault
            assert "test slice" in fault
        else:
            validate(config)


@pytest.fixture(scope="module")
def any_site(tmp_path_factory: pytest.TempPathFactory) -> DemoSite:
    """One whose node and link files are written anew for each example."""
    return build_site(CONFIGS, tmp_path_factory.mktemp("any") / "site")


def check_in_words(path: Path, text: str) -> None:
    """The file is sound, or every fault is a line with its path; nothing else comes of it."""
    path.write_text(text)
    try:
        validate(path)
    except ConfigError as error:
        assert error.faults and all(line.isprintable() for line in error.faults)


@given(text=with_slips(tomllib.loads((CONFIGS / "nodes/demo-alice.toml").read_text())))
@settings(max_examples=80, deadline=None)
def test_whatever_a_node_file_says_its_faults_are_told_in_words(
    any_site: DemoSite, text: str
) -> None:
    check_in_words(any_site.nodes["alice"].config.with_name("any.toml"), text)


@given(text=with_slips(tomllib.loads((CONFIGS / "links/demo.toml").read_text())))
@settings(max_examples=80, deadline=None)
def test_whatever_a_link_file_says_its_faults_are_told_in_words(
    any_site: DemoSite, text: str
) -> None:
    (any_site.directory / "any-link.toml").write_text(text)
    node = any_site.nodes["alice"].config
    check_in_words(node, node.read_text().replace('"../link.toml"', '"../any-link.toml"'))


@given(text=with_a_slip_of_the_pen((CONFIGS / "nodes/demo-alice.toml").read_text()))
@settings(max_examples=60, deadline=None)
def test_a_slip_of_the_pen_in_a_node_file_is_told_in_words(any_site: DemoSite, text: str) -> None:
    check_in_words(any_site.nodes["alice"].config.with_name("any.toml"), text)


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "9" * 5000, "\0", "a = 1\na = 2"])
def test_what_is_no_toml_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "node.toml").write_text(text)
    (fault,) = faults(tmp_path / "node.toml")
    assert fault.startswith(f"{tmp_path}/node.toml: not TOML: ")
