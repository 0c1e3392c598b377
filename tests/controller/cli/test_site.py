"""The demo's site: private, made anew, and never in somebody's folder."""

import stat
from pathlib import Path

import pytest

from qkd_controller.cli.site import PORTS, SiteError, build_site, claimed

CONFIGS = Path(__file__).parents[3] / "configs"


def test_everything_is_private(tmp_path: Path) -> None:
    site = build_site(CONFIGS, tmp_path / "demo")
    for path in [site.directory, *site.directory.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.suffix != ".pem":
            assert mode & 0o077 == 0, f"{path} has mode {mode:o}"


def test_a_former_site_is_replaced_and_anything_else_is_left_alone(tmp_path: Path) -> None:
    first = build_site(CONFIGS, tmp_path / "demo")
    certificate = (first.directory / "pki/ca.pem").read_bytes()
    second = build_site(CONFIGS, tmp_path / "demo")
    assert (second.directory / "pki/ca.pem").read_bytes() != certificate
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("all of it")
    with pytest.raises(SiteError, match="not a demo's directory"):
        build_site(CONFIGS, precious)
    assert (precious / "thesis.tex").read_text() == "all of it"


def test_missing_configs_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="give the folder with --configs"):
        build_site(tmp_path, tmp_path / "demo")


def test_a_claimed_directory_is_kept_from_others(tmp_path: Path) -> None:
    """Building in it keeps the claim; a claim ends with its owner."""
    directory = tmp_path / "demo"
    with claimed(directory):
        site = build_site(CONFIGS, directory)
        with pytest.raises(SiteError, match="a demo runs in"), claimed(directory):
            pass
        assert site.lab.exists()
    with claimed(directory):
        pass


def test_fresh_ports_are_other_ones(tmp_path: Path) -> None:
    fresh = build_site(CONFIGS, tmp_path / "demo", fresh_ports=True)
    ports = {int(node.delivery_url.rpartition(":")[2]) for node in fresh.nodes.values()}
    assert len(ports) == 2
    assert not ports & set(PORTS)
