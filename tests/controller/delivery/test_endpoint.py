"""The delivery endpoint itself: who gets a connection, where it listens, what it refuses to be."""

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from busy import busy_threads

from qkd_controller.cli.pki import Credentials, make_authority, make_certificate
from qkd_controller.config.errors import ConfigError
from qkd_controller.config.identity import IdentityError
from qkd_controller.config.node import Application, Delivery, Tls
from qkd_controller.delivery.server import (
    DeliveryError,
    DeliveryServer,
    StrangerRefused,
)
from qkd_controller.keys.pool import KeyPool

NOT_FOUND = "one or more keys specified are not found on KME"


@pytest.mark.parametrize("caller", ["foreign-app-a", None])
async def test_without_a_certificate_of_our_authority_there_is_no_connection(
    alice: Any, caller: str | None
) -> None:
    if caller is None:
        context = ssl.create_default_context(cafile=str(alice.pki["ca"].certificate))
    else:
        context = alice.context(caller)
    with pytest.raises(aiohttp.ClientError):
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{alice.url}/api/v1/keys/app-b/enc_keys", ssl=context) as response,
        ):
            await response.read()
    assert alice.pool.status().own_bits == 6000 * 8


async def test_tls_1_2_is_the_oldest_version(alice: Any) -> None:
    context = alice.context("app-a")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    _, writer = await asyncio.open_connection("127.0.0.1", alice.server.port, ssl=context)
    assert writer.get_extra_info("ssl_object").version() == "TLSv1.2"
    writer.close()
    await writer.wait_closed()


async def test_the_endpoint_closes_and_opens_again(alice: Any) -> None:
    await alice.server.stop()
    await alice.server.stop()
    with pytest.raises(aiohttp.ClientError):
        await alice.ask("app-a", "GET", "app-b/status")
    await alice.server.start()
    assert (await alice.ask("app-a", "GET", "app-b/status")).status == 200


async def test_an_address_in_use_is_one_clear_error(alice: Any, pki: Any) -> None:
    tls = Tls(str(pki["ca"].certificate), str(pki["alice"].certificate), str(pki["alice"].key))
    config = msgspec.structs.replace(alice.config, address=f"127.0.0.1:{alice.server.port}")
    with pytest.raises(DeliveryError, match="cannot listen on"):
        await DeliveryServer(config, tls, alice.pool).start()


async def test_keys_are_delivered_while_kernels_take_every_thread(alice: Any, bob: Any) -> None:
    async with busy_threads(), asyncio.timeout(20):
        answer = await alice.ask("app-a", "POST", "app-b/enc_keys", {"number": 1})
        assert answer.status == 200
        ids = {"key_IDs": [{"key_ID": answer.body["keys"][0]["key_ID"]}]}
        assert (await bob.ask("app-b", "POST", "app-a/dec_keys", ids)).body == answer.body
        assert (await alice.ask("app-a", "GET", "app-b/status")).status == 200


@pytest.mark.parametrize("address", ["", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000"])
async def test_an_address_that_is_none_is_one_clear_error(
    alice: Any, pki: Any, address: str
) -> None:
    tls = Tls(str(pki["ca"].certificate), str(pki["alice"].certificate), str(pki["alice"].key))
    config = msgspec.structs.replace(alice.config, address=address)
    with pytest.raises(DeliveryError, match="host:port"):
        await DeliveryServer(config, tls, alice.pool).start()


@pytest.mark.parametrize("name", ["app-a", "missing", "mismatched"])
async def test_an_unfit_server_certificate_is_one_clear_error(
    alice: Any, pki: dict[str, Credentials], name: str
) -> None:
    if name == "mismatched":
        owner = Credentials(pki["alice"].certificate, pki["bob"].key)
    else:
        owner = pki.get(name, Credentials(Path("/nowhere.pem"), Path("/nowhere.key")))
    tls = Tls(str(pki["ca"].certificate), str(owner.certificate), str(owner.key))
    with pytest.raises(DeliveryError):
        await DeliveryServer(alice.config, tls, alice.pool).start()


async def test_a_demonstration_certificate_serves_on_loopback_only(
    tmp_path: Path, pools: tuple[KeyPool, KeyPool]
) -> None:
    authority = make_authority(tmp_path / "demo", demo=True)
    node = make_certificate(tmp_path / "demo", "node", "alice")
    tls = Tls(str(authority.certificate), str(node.certificate), str(node.key))
    applications = (Application("app-a", ("app-b",)),)
    for address in ("0.0.0.0:0", ":0", "192.0.2.1:0"):
        config = Delivery(address, "kme-alice", "kme-bob", applications)
        with pytest.raises(IdentityError, match="loopback"):
            await DeliveryServer(config, tls, pools[0]).start()
    async with DeliveryServer(
        Delivery("127.0.0.1:0", "kme-alice", "kme-bob", applications), tls, pools[0]
    ) as server:
        assert server.port > 0


@pytest.mark.parametrize(
    "limits",
    [
        {"min_key_bits": 512},
        {"default_key_bits": 9000},
        {"default_key_bits": 129},
        {"max_key_bits": 1 << 20},
        {"max_keys_per_request": 0},
    ],
)
def test_limits_that_contradict_each_other_are_refused(
    pools: tuple[KeyPool, KeyPool], pki: Any, limits: dict[str, int]
) -> None:
    config = Delivery("127.0.0.1:0", "kme-alice", "kme-bob", (), **limits)
    with pytest.raises(ConfigError, match="delivery"):
        DeliveryServer(config, Tls("", "", ""), pools[0])


async def refusal_of(node: Any) -> StrangerRefused:
    async with asyncio.timeout(20):
        while not node.events:
            await asyncio.sleep(0.005)
    (event,) = node.events
    assert isinstance(event, StrangerRefused)
    assert event.address == "127.0.0.1"
    return event


async def test_a_stranger_without_a_trusted_certificate_is_one_event(alice: Any) -> None:
    with pytest.raises(aiohttp.ClientError):
        await alice.ask("foreign-app-a", "POST", "app-b/enc_keys", {})
    assert "its certificate is not trusted" in (await refusal_of(alice)).cause
    assert (await alice.ask("app-a", "GET", "app-b/status")).status == 200


@pytest.mark.parametrize(
    ("said", "cause"),
    [(b"GET / HTTP/1.1\r\n\r\n", "the TLS handshake failed"), (b"", "closed in the TLS handshake")],
)
async def test_garbage_and_scans_are_one_event(alice: Any, said: bytes, cause: str) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", alice.server.port)
    writer.write(said)
    await writer.drain()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    assert cause in (await refusal_of(alice)).cause


async def test_a_silent_connection_keeps_nobody_out_and_does_not_hold_up_the_end(
    alice: Any,
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", alice.server.port)
    assert (await alice.ask("app-a", "GET", "app-b/status")).status == 200
    async with asyncio.timeout(5):
        await alice.server.stop()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
