"""Real TLS on loopback: good connections come up, bad ones get one clear word at both ends."""

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import msgspec
import pytest
from levels import assert_levels_off

from qkd_controller.cli.pki import make_authority, make_certificate
from qkd_controller.config.errors import ConfigError
from qkd_controller.config.node import Tls
from qkd_controller.keys.contract import AmplifiedBlock
from qkd_controller.keys.errors import PadExhausted
from qkd_controller.link.connection import BackOff, ConnectionState, LinkEndpoint, maintain
from qkd_controller.link.errors import LinkError
from qkd_controller.link.terms import LinkTerms
from qkd_controller.link.tls_pipe import TlsPipe
from qkd_controller.security.ledger import BlockLedger


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Two authorities; TLS files by owner."""
    ours, theirs = (tmp_path_factory.mktemp(name) / "pki" for name in ("ours", "theirs"))
    make_authority(ours)
    make_authority(theirs)

    def files(directory, role, name):
        made = make_certificate(directory, role, name)
        return Tls(str(directory / "ca.pem"), str(made.certificate), str(made.key))

    return SimpleNamespace(
        alice=files(ours, "node", "alice"),
        bob=files(ours, "node", "bob"),
        carol=files(ours, "node", "carol"),
        application=files(ours, "sae", "bob"),
        stranger=files(theirs, "node", "bob"),
    )


@dataclass
class Observer:
    """What one end reported."""

    events: list[tuple[str, dict]] = field(default_factory=list)
    states: list[tuple[ConnectionState, str]] = field(default_factory=list)
    sessions: list = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def on_event(self, kind, details):
        self.events.append((kind, details))
        self._news.set()

    def on_state(self, state, cause):
        self.states.append((state, cause))
        self._news.set()

    async def on_session(self, session, resumption):
        self.sessions.append(session)
        self._news.set()
        async for _ in session.messages():
            pass

    async def until(self, condition):
        async with asyncio.timeout(10):
            while not (found := condition()):
                self._news.clear()
                await self._news.wait()
        return found

    def causes(self, kind):
        return [details["cause"] for name, details in self.events if name == kind]

    async def cause(self, kind):
        return (await self.until(lambda: self.causes(kind)))[0]

    async def session(self, count=1):
        return (await self.until(lambda: self.sessions[count - 1 :]))[0]


def endpoint(bench, tls, own, address="127.0.0.1:0", link=None, store=None):
    return LinkEndpoint(
        LinkTerms.of(link or bench.link_file(), own),
        address,
        tls,
        bench.DurableStore(store or bench.MemoryStore(), asyncio.to_thread),
        bench.CODEC,
        bench.TIMING,
        BackOff(0.05, 2.0, 0.2),
    )


@contextlib.asynccontextmanager
async def kept(end):
    """The end, kept connected while the block runs."""
    observer = Observer()
    task = asyncio.create_task(
        maintain(end, observer.on_session, observer.on_state, observer.on_event)
    )
    observer.task = task
    try:
        yield observer
    finally:
        task.cancel()
        await asyncio.wait([task])


@contextlib.asynccontextmanager
async def pair(bench, alice_tls, bob_tls, *, alice=None, bob=None):
    """Alice listens, Bob connects."""
    async with kept(endpoint(bench, alice_tls, "alice", **(alice or {}))) as listener:
        address = await listening(listener)
        other = {"own": "bob"} | (bob or {})
        async with kept(endpoint(bench, bob_tls, address=address, **other)) as connector:
            yield listener, connector


async def test_no_small_message_waits_for_the_peer_to_acknowledge_another(bench, site, monkeypatch):
    made = TlsPipe.connection_made
    sockets = []

    def watched(pipe, transport):
        sockets.append(transport.get_extra_info("socket"))
        made(pipe, transport)

    monkeypatch.setattr(TlsPipe, "connection_made", watched)
    async with pair(bench, site.alice, site.bob) as ends:
        await asyncio.gather(*(end.session() for end in ends))
        assert len(sockets) == 2
        assert all(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for s in sockets)


async def listening(observer):
    await observer.until(lambda: observer.events)
    kind, details = observer.events[0]
    assert kind == "link-listening"
    return f"{details['host']}:{details['port']}"


async def test_a_block_is_released_over_tls(bench, site):
    stores = bench.MemoryStore(), bench.MemoryStore()
    async with pair(
        bench, site.alice, site.bob, alice={"store": stores[0]}, bob={"store": stores[1]}
    ) as ends:
        sessions = [await end.session() for end in ends]
        assert all(ConnectionState.UP in [s for s, _ in end.states] for end in ends)
        channels = [session.open_block(1, BlockLedger()) for session in sessions]
        blocks = [AmplifiedBlock(1, bytearray(range(64)), 32, 1e-10) for _ in sessions]
        big = bench.Seed(1, bytes(2**20))
        await channels[0].send(big)
        assert await channels[1].receive(bench.Seed) == big
        await asyncio.gather(
            *(s.release(b, c) for s, b, c in zip(sessions, blocks, channels, strict=True))
        )
    assert stores[0].released == stores[1].released == {1: bytes(range(64))}


@pytest.mark.parametrize(
    ("credentials", "at_listener", "at_connector"),
    [
        ("stranger", "not trusted", "does not trust this end's certificate"),
        ("application", "is of application bob", "is of application bob"),
        ("carol", "is of node carol; node bob was expected", "is of node carol"),
    ],
)
async def test_a_wrong_certificate_is_refused_and_named(
    bench, site, monkeypatch, credentials, at_listener, at_connector
):
    monkeypatch.setattr("qkd_controller.link.tls.check_own", lambda *_: None)
    if credentials == "stranger":
        wrong = msgspec.structs.replace(site.stranger, ca=site.alice.ca)
    else:
        wrong = getattr(site, credentials)
    async with pair(bench, site.alice, wrong) as (listener, connector):
        assert at_listener in await listener.cause("link-refused")
        assert at_connector in await connector.cause("link-down")
        assert not listener.sessions


async def test_the_connecting_end_refuses_a_listener_it_does_not_know(bench, site, monkeypatch):
    monkeypatch.setattr("qkd_controller.link.tls.check_own", lambda *_: None)
    async with pair(bench, site.carol, site.bob) as (listener, connector):
        assert "is of node carol; node alice was expected" in await connector.cause("link-down")
        assert "is of node carol" in await listener.cause("link-refused")


async def test_the_connecting_end_refuses_an_authority_it_does_not_know(bench, site, monkeypatch):
    monkeypatch.setattr("qkd_controller.link.tls.check_own", lambda *_: None)
    wrong = msgspec.structs.replace(site.stranger, ca=site.alice.ca)
    async with pair(bench, wrong, site.bob) as (listener, connector):
        assert "not trusted" in await connector.cause("link-down")
        cause = await listener.cause("link-refused")
        assert "does not trust this end's certificate" in cause


async def test_a_demonstration_certificate_is_refused_beyond_loopback(bench, tmp_path):
    make_authority(tmp_path / "pki", demo=True)
    made = make_certificate(tmp_path / "pki", "node", "alice")
    files = Tls(str(tmp_path / "pki" / "ca.pem"), str(made.certificate), str(made.key))
    observer = Observer()
    with pytest.raises(ConfigError, match="loopback"):
        await maintain(
            endpoint(bench, files, "alice", "0.0.0.0:0"),
            observer.on_session,
            observer.on_state,
            observer.on_event,
        )
    assert not observer.events


async def test_differing_link_files_are_named_by_field_at_both_ends(bench, site):
    link = bench.link_file()
    other = msgspec.structs.replace(
        link, block=msgspec.structs.replace(link.block, key_bits=401, test_bits=99)
    )
    async with pair(bench, site.alice, site.bob, bob={"link": other}) as (listener, connector):
        wanted = "the link files differ in block.key_bits, block.test_bits"
        assert wanted in await listener.cause("link-refused")
        assert wanted in await connector.cause("link-down")


async def test_a_wrong_pairing_secret_is_named_at_both_ends(bench, site):
    other = bench.MemoryStore(keys=bench.pairing_keys("other"))
    async with pair(bench, site.alice, site.bob, bob={"store": other}) as (listener, connector):
        assert "another pairing secret" in await listener.cause("link-refused")
        assert "another pairing secret" in await connector.cause("link-down")
        assert other.cursors == [0, 0]


async def test_tls_1_2_is_refused(bench, site):
    async with kept(endpoint(bench, site.alice, "alice")) as listener:
        host, port = (await listening(listener)).split(":")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(site.bob.ca)
        context.load_cert_chain(site.bob.certificate, site.bob.key)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError, match=r"(?i)version"):
            await asyncio.open_connection(host, int(port), ssl=context)
        assert "unsupported protocol" in await listener.cause("link-refused")


async def test_garbage_and_half_open_peers_do_not_keep_the_peer_out(bench, site):
    async with kept(endpoint(bench, site.alice, "alice")) as listener:
        address = await listening(listener)
        host, port = address.split(":")
        silent = [await asyncio.open_connection(host, int(port)) for _ in range(40)]
        _, scanner = await asyncio.open_connection(host, int(port))
        scanner.write(b"GET / HTTP/1.0\r\n\r\n")
        closed = socket.create_connection((host, int(port)))
        closed.close()
        async with kept(endpoint(bench, site.bob, "bob", address)) as connector:
            await connector.session()
            await listener.session()
            for words in ("made room for newer ones", "http request"):
                await listener.until(
                    lambda words=words: any(words in c for c in listener.causes("link-refused"))
                )
        for _, writer in [*silent, (None, scanner)]:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def test_the_newest_connection_takes_the_place_of_the_one_before(bench, site):
    stores = bench.MemoryStore(), bench.MemoryStore()
    async with kept(endpoint(bench, site.alice, "alice", store=stores[0])) as listener:
        address = await listening(listener)
        bob = endpoint(bench, site.bob, "bob", address, store=stores[1])
        # The first Bob does not come back by itself: only the second one counts.
        async with kept(replace(bob, back_off=BackOff(60.0, 1.0, 60.0))):
            first = await listener.session()
            async with kept(replace(bob, store=bob.store)):
                second = await listener.session(2)
                assert second is not first
                with pytest.raises(LinkError, match="ended"):
                    await first.send(bench.Note(b""))
                await second.send(bench.Note(b""))


async def test_a_lost_connection_is_made_again(bench, site):
    async with pair(bench, site.alice, site.bob) as (listener, connector):
        (await listener.session()).close()
        await listener.session(2)
        await connector.session(2)
        assert "closed the connection" in await connector.cause("link-down")


async def test_an_end_stopped_in_mid_release_stops(bench, site, monkeypatch):
    async def releasing(self, session, resumption):
        self.sessions.append(session)
        self._news.set()
        if not session.agreement.terms.leads:
            await asyncio.Event().wait()
        block = AmplifiedBlock(1, bytearray(64), 32, 1e-10)
        try:
            await session.release(block, session.open_block(1, BlockLedger()))
        finally:
            # Work in threads is outlasted; meanwhile the session ends, with the release it lost.
            for _ in range(20):
                await asyncio.sleep(0)

    monkeypatch.setattr(Observer, "on_session", releasing)
    async with pair(bench, site.alice, site.bob) as (listener, connector):
        await listener.session()
        await connector.session()
        connector.task.cancel()
        async with asyncio.timeout(10):
            await asyncio.wait([connector.task])
        assert connector.task.cancelled(), "the connector is the commit leader"


async def test_an_exhausted_pad_ends_the_link(bench, site):
    empty = bench.MemoryStore(pads=[b"", b""])
    async with pair(
        bench, site.alice, site.bob, alice={"store": empty}, bob={"store": bench.MemoryStore()}
    ) as (listener, _):
        await asyncio.wait([listener.task])
        with pytest.raises(PadExhausted):
            listener.task.result()


async def test_an_own_certificate_that_is_not_its_own_is_a_configuration_error(bench, site):
    observer = Observer()
    for wrong in (site.carol, site.application):
        with pytest.raises(ConfigError, match="the certificate is of"):
            await maintain(
                endpoint(bench, wrong, "alice"),
                observer.on_session,
                observer.on_state,
                observer.on_event,
            )


def test_pauses_grow_to_their_limit():
    back_off = BackOff(0.5, 2.0, 30.0)
    assert [back_off.pause_s(n) for n in (1, 2, 3, 7, 10_000)] == [0.5, 1.0, 2.0, 30.0, 30.0]


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_lost_sessions_leave_nothing_behind(bench, site):
    stores = [bench.MemoryStore(pads=[bytes(1 << 20)] * 2) for _ in range(2)]
    async with pair(
        bench, site.alice, site.bob, alice={"store": stores[0]}, bob={"store": stores[1]}
    ) as ends:

        async def lose() -> None:
            for end, store in zip(ends, stores, strict=True):
                await end.session()
                end.events.clear()
                end.states.clear()
                store.taken.clear()
            for end in ends:
                end.sessions.pop(0).close()

        await assert_levels_off(lose)
