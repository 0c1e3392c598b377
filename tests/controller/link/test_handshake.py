"""Each difference between the ends is one error that names it."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_controller.config.errors import ConfigError
from qkd_controller.link.errors import AuthenticationError, LinkError, ProtocolError
from qkd_controller.link.handshake import Handshake, Hello, Proof, RefusedByPeer, refusal
from qkd_controller.link.terms import LinkTerms

KEY = b"k" * 32


@pytest.fixture
def terms(bench):
    return LinkTerms.of(bench.link_file(), "alice"), LinkTerms.of(bench.link_file(), "bob")


def exchange(alice, bob):
    """Passes all messages across; returns what each end raised."""
    raised = []
    queues = {alice: [bob.hello()], bob: [alice.hello()]}
    for end, other in ((alice, bob), (bob, alice), (alice, bob), (bob, alice)):
        while queues[end]:
            try:
                answer = end.receive(queues[end].pop(0))
            except LinkError as error:
                raised.append(error)
                queues[end].clear()
            else:
                queues[other] += [answer] if answer else []
    return raised


def test_equal_terms_give_one_agreement(terms):
    alice, bob = (Handshake(t, KEY) for t in terms)
    assert exchange(alice, bob) == []
    assert alice.agreement.session_nonce == bob.agreement.session_nonce
    assert alice.agreement.context("x", 1) == bob.agreement.context("x", 1)
    assert alice.agreement.context("x", 1) != bob.agreement.context("x", 2)


def test_every_session_has_its_own_nonce(terms):
    nonces = set()
    for _ in range(5):
        alice, bob = (Handshake(t, KEY) for t in terms)
        exchange(alice, bob)
        nonces.add(alice.agreement.session_nonce)
    assert len(nonces) == 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "protocol version"),
        ({"own": "carol"}, "calls itself carol"),
        ({"peer": "carol"}, "looking for carol"),
    ],
)
def test_a_difference_is_named(terms, change, words):
    alice, bob = Handshake(terms[0], KEY), Handshake(replace(terms[1], **change), KEY)
    raised = exchange(alice, bob)
    assert any(words in str(error) for error in raised)
    assert alice.agreement is None and bob.agreement is None


def test_both_ends_name_the_fields_that_differ(bench, terms):
    link = bench.link_file()
    roles = msgspec.structs.replace(link.roles, commit_leader="alice")
    other = LinkTerms.of(msgspec.structs.replace(link, roles=roles), "bob")
    raised = exchange(Handshake(terms[0], KEY), Handshake(other, KEY))
    assert [str(error) for error in raised] == ["the link files differ in roles.commit_leader"] * 2


def test_both_ends_name_a_wrong_pairing_secret(terms):
    raised = exchange(Handshake(terms[0], KEY), Handshake(terms[1], b"other"))
    assert len(raised) == 2
    assert all(isinstance(error, AuthenticationError) for error in raised)
    assert all("another pairing secret" in str(error) for error in raised)


def test_reflected_messages_are_refused(terms):
    alice = Handshake(terms[0], KEY)
    with pytest.raises(AuthenticationError, match="calls itself alice"):
        alice.receive(alice.hello())
    bob = Handshake(terms[1], KEY)
    own_proof = alice.receive(bob.hello())
    with pytest.raises(AuthenticationError, match="another pairing secret"):
        alice.receive(own_proof)


def test_a_proof_of_another_session_is_refused(terms):
    alice, bob = (Handshake(t, KEY) for t in terms)
    old_proof = bob.receive(alice.hello())
    fresh = Handshake(terms[0], KEY)
    fresh.receive(Handshake(terms[1], KEY).hello())
    with pytest.raises(AuthenticationError):
        fresh.receive(old_proof)


def test_messages_out_of_turn_are_refused(terms):
    with pytest.raises(ProtocolError):
        Handshake(terms[0], KEY).receive(msgspec.msgpack.encode(Proof(b"")))
    alice, bob = (Handshake(t, KEY) for t in terms)
    alice.receive(bob.hello())
    with pytest.raises(ProtocolError):
        alice.receive(bob.hello())


def test_a_refusal_is_passed_on_in_printable_words(terms):
    with pytest.raises(RefusedByPeer, match="bob refused the link: it is late\\?") as caught:
        Handshake(terms[0], KEY).receive(refusal("it is late\n" + "x" * 10_000))
    assert len(str(caught.value)) < 600


@given(st.binary(max_size=200))
def test_hostile_bytes_only_raise_link_errors(payload):
    terms = LinkTerms("alice", "bob", None, bytes(32), {})
    with pytest.raises(LinkError):
        Handshake(terms, KEY).receive(payload)


def test_a_short_nonce_is_refused(terms):
    t = terms[1]
    hello = Hello(t.version, "bob", "alice", t.link_digest, t.field_digests, b"short")
    with pytest.raises(ProtocolError, match="nonce"):
        Handshake(terms[0], KEY).receive(msgspec.msgpack.encode(hello))


def test_a_node_that_is_no_end_of_the_link_is_a_configuration_error(bench):
    with pytest.raises(ConfigError, match="carol"):
        LinkTerms.of(bench.link_file(), "carol")
