"""The pairing secret: one file, whole or refused, taken once by each node and never twice."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qkd_controller.config.link import LinkFile
from qkd_controller.keys.contract import AmplifiedBlock, Direction, Half
from qkd_controller.keys.errors import PairingError
from qkd_controller.keys.link_store import SqliteLinkStore, open_link
from qkd_controller.keys.pairing import (
    PairingSecret,
    erase_file,
    import_pairing,
    make_pairing,
    read_pairing,
    write_pairing,
)
from qkd_controller.keys.pool import KeyPool, PoolStatus
from qkd_controller.keys.store import KeyStore

MakeBlock = Callable[..., AmplifiedBlock]
DOWN = Direction.LEADER_TO_FOLLOWER


def test_a_file_gives_back_the_secret(tmp_path: Path, secret: PairingSecret) -> None:
    path = tmp_path / "pairing"
    write_pairing(path, secret)
    assert path.stat().st_mode & 0o777 == 0o600
    read = read_pairing(path)
    assert (read.header, read.keys, read.pads) == (secret.header, secret.keys, secret.pads)


def test_every_secret_is_drawn_afresh(link: LinkFile) -> None:
    secrets = [make_pairing(link, 32) for _ in range(2)]
    parts = [
        bytes(part)
        for s in secrets
        for part in (*s.keys.hash_keys, s.keys.check_key, s.keys.key_id_key, *s.pads)
    ]
    assert len(set(parts)) == 12
    assert secrets[0].header.pairing != secrets[1].header.pairing


def test_no_file_is_overwritten(tmp_path: Path, secret: PairingSecret) -> None:
    path = tmp_path / "pairing"
    path.write_text("precious")
    with pytest.raises(PairingError, match="exists already"):
        write_pairing(path, secret)
    assert path.read_text() == "precious"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_missing_or_added_byte_is_noticed(
    tmp_path: Path, secret: PairingSecret, data: st.DataObject
) -> None:
    path = tmp_path / "pairing"
    path.unlink(missing_ok=True)
    write_pairing(path, secret)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    match data.draw(st.sampled_from(["change", "cut", "insert"])):
        case "change":
            content[place] ^= data.draw(st.integers(1, 255))
        case "cut":
            del content[place:]
        case _:
            content.insert(place, data.draw(st.integers(0, 255)))
    path.write_bytes(content)
    with pytest.raises(PairingError):
        read_pairing(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no pairing file"),
        (b"something else", "no pairing file"),
        (b"qkdlink pairing 2\n{}", "another version"),
        (b"qkdlink pairing 1\n", "damaged"),
    ],
)
def test_other_files_are_named_for_what_they_are(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(PairingError, match=message):
        read_pairing(path)
    with pytest.raises(PairingError, match="cannot be read"):
        read_pairing(tmp_path / "missing")


def test_erasing_overwrites_before_it_removes(tmp_path: Path) -> None:
    path, other_name = tmp_path / "file", tmp_path / "same"
    path.write_bytes(b"secret" * 300_000)
    other_name.hardlink_to(path)
    erase_file(path)
    assert not path.exists()
    assert other_name.read_bytes() == bytes(1_800_000)
    with pytest.raises(PairingError, match="destroy it"):
        erase_file(path)


def test_a_secret_shows_nothing_and_is_wiped(secret: PairingSecret) -> None:
    assert secret.pads[0].hex() not in repr(secret)
    assert secret.keys.check_key.hex() not in repr(secret) + repr(secret.keys)
    assert repr(secret.keys.check_key) not in repr(secret) + repr(secret.keys)
    secret.wipe()
    assert secret.pads == (bytearray(2000), bytearray(2000))


def test_a_stranger_is_refused(alice_store: KeyStore, secret: PairingSecret) -> None:
    with pytest.raises(PairingError, match="between alice and bob, and this node is carol"):
        import_pairing(alice_store, secret, "carol")


def test_a_link_is_paired_once_unless_replaced(
    alice_store: KeyStore, alice: SqliteLinkStore, link: LinkFile
) -> None:
    alice.take_pad(DOWN, 100)
    new = make_pairing(link, 50)
    with pytest.raises(PairingError, match="--replace"):
        import_pairing(alice_store, new, "alice")
    assert alice.pad_end(DOWN) == 2000
    import_pairing(alice_store, new, "alice", replace=True)
    again = open_link(alice_store, link, "alice")
    assert again.pairing_keys() == new.keys
    assert again.take_pad(DOWN, 50) == (0, new.pads[DOWN])


def test_a_secret_is_never_taken_a_second_time(
    alice_store: KeyStore, alice: SqliteLinkStore, link: LinkFile, secret: PairingSecret
) -> None:
    for flags in ((False, False), (True, False), (True, True)):
        with pytest.raises(PairingError, match="imported here before"):
            import_pairing(alice_store, secret, "alice", *flags)
    import_pairing(alice_store, make_pairing(link, 10), "alice", replace=True)
    with pytest.raises(PairingError, match="imported here before"):
        import_pairing(alice_store, secret, "alice", replace=True)


def test_keys_and_prepared_blocks_are_not_given_up_unasked(
    bob_store: KeyStore, bob: SqliteLinkStore, link: LinkFile, make_block: MakeBlock
) -> None:
    bob.prepare(make_block(1))
    new = make_pairing(link, 10)
    with pytest.raises(PairingError, match="1 prepared blocks, which"):
        import_pairing(bob_store, new, "bob", replace=True)
    bob.roll_forward(1)
    with pytest.raises(PairingError, match="11200 undelivered bits of key, which"):
        import_pairing(bob_store, new, "bob", replace=True)
    assert bob.is_released(1)
    import_pairing(bob_store, new, "bob", replace=True, discard_keys=True)
    again = open_link(bob_store, link, "bob")
    assert again.highest_block() == 0 and not again.is_released(1)
    assert KeyPool(again, Half.FOLLOWER).status() == PoolStatus(0, 0)


def test_one_link_a_peer(alice_store: KeyStore, alice: SqliteLinkStore, link: LinkFile) -> None:
    second = msgspec.structs.replace(link, name="fibre-2")
    with pytest.raises(PairingError, match="shares link fibre-1 with bob already"):
        import_pairing(alice_store, make_pairing(second, 10), "alice")
    other = msgspec.structs.replace(
        link,
        name="fibre-3",
        nodes=("carol", "alice"),
        roles=msgspec.structs.replace(link.roles, commit_leader="carol"),
    )
    import_pairing(alice_store, make_pairing(other, 10), "alice")
    assert open_link(alice_store, other, "alice").own_half is Half.FOLLOWER
    assert open_link(alice_store, link, "alice").pad_end(DOWN) == 2000
