"""Every model has a page, and what its page tells an operator to write can be used."""

import re
import tomllib
from pathlib import Path

import pytest

from qkd_controller.config.load import read_node
from qkd_controller.config.node import Device
from qkd_controller.devices.set_points import validate_device
from qkd_drivers.catalogue import OWN, Model

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "instruments"
NODE = ROOT / "configs" / "nodes" / "demo-alice.toml"
SECTIONS = [
    "Wiring",
    "Configuration",
    "What it does",
    "What was verified, and how",
    "What was not, and what is doubtful",
]
EXAMPLES = [
    pytest.param(example, id=f"{page.stem}-{number}")
    for page in sorted(PAGES.glob("*.md"))
    for number, example in enumerate(re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL))
]


def page_of(model: Model) -> Path:
    """Its own, or one that it shares with the maker's others, such as ``picoquant.md``."""
    own = PAGES / f"{model.name}.md"
    return own if own.exists() else PAGES / f"{model.name.partition('-')[0]}.md"


def loaded(example: str, folder: Path) -> tuple[Device, ...]:
    """The devices of a node file in which the example stands where the demo's devices stood."""
    path = folder / "node.toml"
    path.write_text(re.sub(r"\[\[links\.devices\]\].*", "", NODE.read_text(), flags=re.S) + example)
    read = read_node(path)
    assert read.faults == [] and read.value is not None
    return read.value.links[0].devices


@pytest.mark.parametrize("model", OWN, ids=lambda model: model.name)
def test_the_page_of_a_model_shows_a_section_that_drives_it(model: Model, tmp_path: Path) -> None:
    page = page_of(model).read_text()
    assert f"`{model.name}`" in page and f"`{model.kind}`" in page
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    shown = [device for device in loaded(example, tmp_path) if device.model == model.name]
    assert shown and all(device.kind == model.kind for device in shown)


@pytest.mark.parametrize(
    "page", sorted({page_of(model) for model in OWN}), ids=lambda page: page.stem
)
def test_a_page_says_how_to_wire_it_and_what_was_verified_and_what_was_not(page: Path) -> None:
    """In these sections and this order, none of them empty."""
    _, *sections = re.split(r"^## ", page.read_text(), flags=re.MULTILINE)
    assert [section.partition("\n")[0] for section in sections] == SECTIONS
    assert all(section.partition("\n")[2].strip() for section in sections)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_taken_by_the_loader_of_configurations(
    example: str, tmp_path: Path
) -> None:
    """And by the driver of its model, where that is one of ours."""
    if "links" not in tomllib.loads(example):
        return  # of a driver's package, which a test installs
    ours = {model.name for model in OWN}
    for device in loaded(example, tmp_path):
        assert device.model not in ours or validate_device(device) == []


def test_there_is_no_page_of_a_model_that_is_not_in_the_catalogue() -> None:
    pages = {path.stem for path in PAGES.glob("*.md")} - {"writing-a-driver"}
    assert pages == {page_of(model).stem for model in OWN}
