"""A key ID tells its place to who holds the pairing, and only to the two it was made for."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_controller.keys.contract import Half
from qkd_controller.keys.errors import KeyNotFound, KeyOfOthers
from qkd_controller.keys.key_id import LARGEST_KEY_BITS, Place, open_place, seal_place

KEY = bytes(range(32))

places = st.builds(
    Place, st.sampled_from(Half), st.integers(0, 2**44 - 1), st.integers(1, LARGEST_KEY_BITS // 8)
)


@given(places, st.text(), st.text())
def test_an_id_is_a_version_8_uuid_that_gives_its_place_back(
    place: Place, master: str, slave: str
) -> None:
    key_id = seal_place(KEY, place, master, slave)
    assert (key_id.version, key_id.variant) == (8, uuid.RFC_4122)
    assert open_place(KEY, uuid.UUID(str(key_id)), master, slave) == place


@given(places, st.integers(0, 127))
def test_an_id_with_any_bit_changed_opens_nothing(place: Place, bit: int) -> None:
    key_id = seal_place(KEY, place, "a", "b")
    changed = uuid.UUID(int=key_id.int ^ 1 << bit)
    # A changed owner tag looks like another's key; any other change like no key, but for the
    # one chance in 2^16 that the place tag fits.
    with pytest.raises((KeyNotFound, KeyOfOthers)):
        open_place(KEY, changed, "a", "b")


@given(places)
def test_good_ids_of_others_are_told_from_unknown_ids(place: Place) -> None:
    key_id = seal_place(KEY, place, "a", "b")
    for master, slave in (("a", "c"), ("c", "b"), ("b", "a"), ("ab", ""), ("", "ab")):
        with pytest.raises(KeyOfOthers):
            open_place(KEY, key_id, master, slave)


def test_ids_of_another_pairing_are_unknown() -> None:
    refused = [KeyNotFound, KeyOfOthers]
    seen = {kind: 0 for kind in refused}
    for offset in range(64):
        key_id = seal_place(bytes(32), Place(Half.LEADER, offset, 32), "a", "b")
        with pytest.raises((KeyNotFound, KeyOfOthers)) as refusal:
            open_place(KEY, key_id, "a", "b")
        seen[refusal.type] += 1
    assert seen[KeyNotFound] >= 62


@pytest.mark.parametrize(
    "key_id", [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.uuid4(), uuid.uuid1()]
)
def test_foreign_uuids_are_unknown(key_id: uuid.UUID) -> None:
    with pytest.raises(KeyNotFound):
        open_place(KEY, key_id, "a", "b")


@pytest.mark.parametrize(("offset", "length"), [(2**44, 1), (-1, 1), (0, 0), (0, 8193)])
def test_a_place_that_does_not_fit_is_refused(offset: int, length: int) -> None:
    with pytest.raises(ValueError, match="no key ID"):
        seal_place(KEY, Place(Half.LEADER, offset, length), "a", "b")
