"""Stores of the two ends of one link, paired with the same secret."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qkd_controller.config.link import BlockPlan, LinkFile, Roles
from qkd_controller.keys.contract import AmplifiedBlock
from qkd_controller.keys.link_store import SqliteLinkStore, open_link
from qkd_controller.keys.pairing import PairingSecret, import_pairing, make_pairing
from qkd_controller.keys.store import KeyStore


@pytest.fixture
def link() -> LinkFile:
    return LinkFile(
        name="fibre-1",
        protocol="bbm92",
        nodes=("alice", "bob"),
        roles=Roles("alice", "alice", "alice", "bob"),
        block=BlockPlan(1000, "z", 500, 200, 0.05, 300),
    )


@pytest.fixture
def secret(link: LinkFile) -> PairingSecret:
    return make_pairing(link, pad_bytes=2000)


@pytest.fixture
def alice_store(tmp_path: Path) -> Iterator[KeyStore]:
    with KeyStore(tmp_path / "alice") as store:
        yield store


@pytest.fixture
def bob_store(tmp_path: Path) -> Iterator[KeyStore]:
    with KeyStore(tmp_path / "bob") as store:
        yield store


@pytest.fixture
def alice(alice_store: KeyStore, link: LinkFile, secret: PairingSecret) -> SqliteLinkStore:
    """The commit leader's end."""
    import_pairing(alice_store, secret, "alice")
    return open_link(alice_store, link, "alice")


@pytest.fixture
def bob(bob_store: KeyStore, link: LinkFile, secret: PairingSecret) -> SqliteLinkStore:
    """The follower's end."""
    import_pairing(bob_store, secret, "bob")
    return open_link(bob_store, link, "bob")


@pytest.fixture
def make_block() -> Callable[..., AmplifiedBlock]:
    """A block whose bytes follow from its number, the same at both ends."""

    def make(number: int, length: int = 1500, refill_bytes: int = 100) -> AmplifiedBlock:
        key = bytearray((number * 131 + 7 * i + i // 256) % 256 for i in range(length))
        return AmplifiedBlock(number, key, refill_bytes, 1e-10)

    return make
