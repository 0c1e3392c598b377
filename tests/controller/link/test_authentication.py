"""Tags hold for exactly one conversation, one direction, one session, one pad."""

import os
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_controller.config.link import Roles
from qkd_controller.keys.contract import PairingKeys
from qkd_controller.link import authentication
from qkd_controller.link.authentication import (
    MAX_TRANSCRIPT_BYTES,
    REFUSED_TAGS,
    Conversation,
    authentication_epsilon,
    block_epsilon,
    wiped,
)
from qkd_controller.link.errors import AuthenticationError, LinkError
from qkd_controller.link.terms import Agreement, LinkTerms

KEYS = PairingKeys((bytes(range(16)), bytes(range(16, 32))), b"", b"")
ROLES = Roles("alice", "alice", "bob", "bob")
PAD = bytes(range(100, 132))


def agreement(own: str, nonce: bytes = b"n" * 64) -> Agreement:
    peer = {"alice": "bob", "bob": "alice"}[own]
    return Agreement(LinkTerms(own, peer, ROLES, b"d" * 32, {}), nonce)


def pair(block: int = 1, nonce: bytes = b"n" * 64) -> tuple[Conversation, Conversation]:
    return (
        Conversation(agreement("alice", nonce), KEYS, block),
        Conversation(agreement("bob", nonce), KEYS, block),
    )


def say(sender: Conversation, receiver: Conversation, sequence: int, payload: bytes) -> None:
    sender.absorb_sent(sequence, payload)
    receiver.absorb_received(sequence, payload)


def test_both_ends_accept_each_others_tags():
    alice, bob = pair()
    say(alice, bob, 3, b"question")
    say(bob, alice, 1, b"answer")
    alice.verify(bob.state(PAD), PAD)
    bob.verify(alice.state(PAD), PAD)


def test_a_tag_may_lag_behind_messages_still_on_their_way():
    alice, bob = pair()
    say(alice, bob, 1, b"one")
    statement = bob.state(PAD)
    say(alice, bob, 2, b"two")
    alice.verify(statement, PAD)
    assert alice.unverified_messages == 1
    say(alice, bob, 3, b"three")
    alice.verify(bob.state(PAD), PAD)
    with pytest.raises(AuthenticationError):
        alice.verify(statement, PAD)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=30), st.data())
def test_a_tag_vouches_up_to_any_message_however_many_were_hashed_at_once(sizes, data):
    """Whatever the bounds of batches, and where several tags follow each other."""
    limits = {"_BATCH_BYTES": data.draw(st.integers(1, 200))}
    limits["_UNHASHED_BYTES"] = data.draw(st.integers(0, 400))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in limits.items():
            patch.setattr(authentication, name, value)
        alice, bob = pair()
        arrived = data.draw(st.lists(st.integers(0, len(sizes)), max_size=3).map(sorted))
        for sequence, size in enumerate(sizes, start=1):
            alice.absorb_sent(sequence, bytes(size))
        through = 0
        for until in arrived:
            for sequence in range(through + 1, until + 1):
                bob.absorb_received(sequence, bytes(sizes[sequence - 1]))
            through = until
            alice.verify(bob.state(PAD), PAD)
            assert alice.unverified_messages == len(sizes) - until
        for sequence in range(through + 1, len(sizes) + 1):
            bob.absorb_received(sequence, bytes(sizes[sequence - 1]))
        bob.verify(alice.state(PAD), PAD)


def test_a_tag_must_cover_all_that_was_received():
    alice, bob = pair()
    statement = bob.state(PAD)
    say(bob, alice, 1, b"later")
    with pytest.raises(AuthenticationError):
        alice.verify(statement, PAD)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=40)), min_size=1), st.data())
def test_any_altered_message_in_either_direction_fails_both_ends(messages, data):
    alice, bob = pair()
    victim = data.draw(st.integers(0, len(messages) - 1))
    for sequence, (from_alice, payload) in enumerate(messages, start=1):
        sender, receiver = (alice, bob) if from_alice else (bob, alice)
        sender.absorb_sent(sequence, payload)
        arrived = payload
        if sequence - 1 == victim:
            arrived = data.draw(st.binary(max_size=40).filter(payload.__ne__))
        receiver.absorb_received(sequence, arrived)
    for one, other in ((alice, bob), (bob, alice)):
        with pytest.raises(AuthenticationError):
            one.verify(other.state(PAD), PAD)


def test_tags_hold_for_one_block_one_session_and_one_direction_only():
    for other_pair in (pair(block=2), pair(nonce=b"m" * 64)):
        with pytest.raises(AuthenticationError):
            pair()[0].verify(other_pair[1].state(PAD), PAD)
    alice, _ = pair()
    with pytest.raises(AuthenticationError):
        alice.verify(alice.state(PAD), PAD)


def test_every_field_of_the_agreement_is_in_the_tags():
    terms = agreement("bob").terms
    for change in (
        {"link_digest": b"e" * 32},
        {"version": 3},
        {"roles": replace_role(time_reference="alice")},
        {"own": "bobby"},
    ):
        other = Conversation(Agreement(replace(terms, **change), b"n" * 64), KEYS, 1)
        with pytest.raises(AuthenticationError):
            pair()[0].verify(other.state(PAD), PAD)


def replace_role(**change: str) -> Roles:
    return Roles(**{name: getattr(ROLES, name) for name in ROLES.__struct_fields__} | change)


def test_a_tag_with_another_pad_or_bit_flipped_is_refused():
    alice, bob = pair()
    with pytest.raises(AuthenticationError):
        alice.verify(bob.state(PAD), bytes(32))
    for bit in range(256):
        flipped = bytearray(PAD)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AuthenticationError):
            alice.verify(bob.state(PAD), flipped)


def test_the_boundaries_between_messages_count():
    alice, bob = pair()
    alice.absorb_sent(1, b"ab")
    alice.absorb_sent(2, b"c")
    bob.absorb_received(1, b"a")
    bob.absorb_received(2, b"bc")
    with pytest.raises(AuthenticationError):
        bob.verify(alice.state(PAD), PAD)


def test_a_peer_that_never_authenticates_is_given_up(monkeypatch):
    monkeypatch.setattr(authentication, "MAX_UNVERIFIED_MESSAGES", 3)
    alice, _ = pair()
    for sequence in range(3):
        alice.absorb_sent(sequence, b"")
    with pytest.raises(LinkError, match="authenticated nothing"):
        alice.absorb_sent(3, b"")


def test_a_transcript_cannot_outgrow_its_collision_bound(monkeypatch):
    monkeypatch.setattr(authentication, "MAX_TRANSCRIPT_BYTES", 200)
    alice, _ = pair()
    alice.absorb_sent(1, bytes(80))
    with pytest.raises(LinkError, match="too long"):
        alice.absorb_received(1, bytes(80))


def test_epsilon_is_the_sum_of_the_collision_bounds_of_all_tags():
    assert authentication_epsilon(1) == (MAX_TRANSCRIPT_BYTES // 16 + 1) * 2.0**-128
    assert authentication_epsilon(10) == 10 * authentication_epsilon(1)
    assert block_epsilon(0) == authentication_epsilon(8 + REFUSED_TAGS)
    assert block_epsilon(2048) == authentication_epsilon(16 + REFUSED_TAGS)
    assert block_epsilon(2048) < 1e-20


def test_a_wiped_conversation_holds_no_hash_and_says_nothing_more(monkeypatch):
    """A hash of known messages without its mask would betray the hash key."""
    monkeypatch.setattr(authentication, "_UNHASHED_BYTES", 0)
    alice, bob = pair()
    say(alice, bob, 1, b"one")
    say(alice, bob, 2, b"two")
    digests = [digest for _, digest in alice._sent_digests]
    statement = bob.state(PAD)
    alice.verify(statement, PAD)
    assert [any(digest) for digest in digests] == [False, False, True]
    alice.wipe()
    assert not any(any(digest) for digest in digests)
    for use in (lambda: alice.state(PAD), lambda: alice.verify(statement, PAD)):
        with pytest.raises(LinkError, match="is over"):
            use()
    alice.absorb_sent(3, b"three")
    assert not alice.unverified_messages


def test_a_lent_secret_is_wiped_even_after_an_error():
    secret = bytearray(os.urandom(8))
    with pytest.raises(RuntimeError), wiped(secret) as view:
        assert bytes(view) == bytes(secret)
        raise RuntimeError
    assert secret == bytes(8)
