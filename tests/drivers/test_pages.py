"""Every model has a page, and what its page tells an operator to write can be used."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from qkd_controller.config.node import Device
from qkd_controller.devices.set_points import validate_device
from qkd_drivers.catalogue import OWN, Model

PAGES = Path(__file__).parents[2] / "docs" / "instruments"
SECTIONS = ("## Wiring", "## Configuration", "erified", "not")


def page_of(model: Model) -> Path:
    """Its own, or one that it shares with the maker's others, such as ``picoquant.md``."""
    own = PAGES / f"{model.name}.md"
    return own if own.exists() else PAGES / f"{model.name.partition('-')[0]}.md"


@pytest.mark.parametrize("model", OWN, ids=lambda model: model.name)
def test_the_page_of_a_model_shows_a_section_that_drives_it(model: Model) -> None:
    page = page_of(model).read_text()
    for section in SECTIONS:
        assert section in page
    assert f"`{model.name}`" in page and f"`{model.kind}`" in page
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    devices = msgspec.convert(tomllib.loads(example)["links"]["devices"], list[Device])
    shown = [device for device in devices if device.model == model.name]
    assert shown and all(device.kind == model.kind for device in shown)
    assert [fault for device in devices for fault in validate_device(device)] == []


def test_there_is_no_page_of_a_model_that_is_not_in_the_catalogue() -> None:
    pages = {path.stem for path in PAGES.glob("*.md")} - {"writing-a-driver"}
    assert pages == {page_of(model).stem for model in OWN}
