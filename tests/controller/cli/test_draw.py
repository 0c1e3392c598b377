"""qkd draw: shows IDs and fingerprints, and keys only in a file of its own."""

import argparse
import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from qkd_controller.cli import draw
from qkd_controller.cli.pki import Credentials, make_authority, make_certificate
from qkd_controller.config.link import BlockPlan, LinkFile, Roles
from qkd_controller.config.node import Application, Delivery, Tls
from qkd_controller.delivery.server import DeliveryServer
from qkd_controller.keys.contract import AmplifiedBlock
from qkd_controller.keys.link_store import open_link
from qkd_controller.keys.pairing import import_pairing, make_pairing
from qkd_controller.keys.pool import KeyPool
from qkd_controller.keys.store import KeyStore

LINK = LinkFile(
    name="fibre-1",
    protocol="bbm92",
    nodes=("alice", "bob"),
    roles=Roles("alice", "alice", "alice", "bob"),
    block=BlockPlan(1000, "z", 500, 200, 0.05, 300),
)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Credentials]:
    directory = tmp_path_factory.mktemp("pki")
    made = {"ca": make_authority(directory)}
    made.update({name: make_certificate(directory, "node", name) for name in LINK.nodes})
    made.update({name: make_certificate(directory, "sae", name) for name in ("app-a", "app-b")})
    return made


@pytest.fixture
async def urls(tmp_path: Path, pki: dict[str, Credentials]) -> AsyncIterator[dict[str, str]]:
    secret = make_pairing(LINK, 10)
    servers, stores = {}, []
    apps = {"alice": Application("app-a", ("app-b",)), "bob": Application("app-b", ("app-a",))}
    for name in LINK.nodes:
        store = KeyStore(tmp_path / name)
        stores.append(store)
        import_pairing(store, secret, name)
        end = open_link(store, LINK, name)
        end.release(AmplifiedBlock(1, bytearray(range(256)), 0, 0.0))
        tls = Tls(str(pki["ca"].certificate), str(pki[name].certificate), str(pki[name].key))
        config = Delivery("127.0.0.1:0", f"kme-{name}", "other", (apps[name],))
        servers[name] = DeliveryServer(config, tls, KeyPool(end, end.own_half))
        await servers[name].start()
    yield {name: f"https://localhost:{server.port}" for name, server in servers.items()}
    for server in servers.values():
        await server.stop()
    for store in stores:
        store.close()


def command(pki: dict[str, Credentials], caller: str, *arguments: Any) -> int:
    parser = argparse.ArgumentParser()
    draw.add_parser(parser.add_subparsers())
    owner = pki[caller]
    trust = ["--cert", owner.certificate, "--key", owner.key, "--ca", pki["ca"].certificate]
    args = parser.parse_args(["draw", *map(str, [*arguments, *trust])])
    result = args.run(args)
    assert isinstance(result, int)
    return result


def client(url: str, pki: dict[str, Credentials], caller: str) -> draw.KeyClient:
    return draw.KeyClient(url, draw.AppCredentials(pki["ca"].certificate, pki[caller]))


async def test_both_ends_draw_the_same_key(
    urls: dict[str, str], pki: dict[str, Credentials]
) -> None:
    async with (
        client(urls["alice"], pki, "app-a") as at_alice,
        client(urls["bob"], pki, "app-b") as at_bob,
    ):
        keys = await at_alice.request_keys("app-b", 2, 128)
        assert [key.key for key in keys] == [bytearray(range(16)), bytearray(range(16, 32))]
        assert keys[0].fingerprint == hashlib.sha256(bytes(range(16))).hexdigest()[:16]
        assert bytes(range(16)).hex() not in repr(keys)
        ids = [key.key_id for key in keys]
        assert await at_bob.request_keys_by_id("app-a", ids) == keys
        with pytest.raises(draw.DrawError, match="are not found on KME") as refusal:
            await at_bob.request_keys_by_id("app-a", ids)
        assert refusal.value.status == 400


async def test_the_command_shows_fingerprints_only(
    urls: dict[str, str],
    pki: dict[str, Credentials],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "keys.txt"
    arguments = [urls["alice"], "--slave", "app-b", "--number", 2, "--size", 64, "--out", out]
    assert await asyncio.to_thread(command, pki, "app-a", *arguments) == 0
    shown = capsys.readouterr().out
    assert out.stat().st_mode & 0o777 == 0o600
    lines = [line.split() for line in out.read_text().splitlines()]
    assert [key for _, key in lines] == [bytes(range(8)).hex(), bytes(range(8, 16)).hex()]
    for key_id, key in lines:
        assert key not in shown
        fingerprint = hashlib.sha256(bytes.fromhex(key)).hexdigest()[:16]
        assert f"{key_id} 64 bits, fingerprint {fingerprint}\n" in shown
    ids = [option for key_id, _ in lines for option in ("--key-id", key_id)]
    other = [urls["bob"], "--master", "app-a", *ids]
    assert await asyncio.to_thread(command, pki, "app-b", *other) == 0
    assert capsys.readouterr().out == shown


async def test_a_file_is_neither_overwritten_nor_left_empty(
    urls: dict[str, str], pki: dict[str, Credentials], tmp_path: Path
) -> None:
    out = tmp_path / "keys.txt"
    out.write_text("precious")
    arguments = [urls["alice"], "--slave", "app-b", "--out", out]
    with pytest.raises(draw.DrawError, match="exists already"):
        await asyncio.to_thread(command, pki, "app-a", *arguments)
    assert out.read_text() == "precious"
    out.unlink()
    with pytest.raises(draw.DrawError, match=r"refused \(401\)"):
        await asyncio.to_thread(command, pki, "app-b", *arguments)
    assert not out.exists()


async def test_a_refused_handshake_points_to_the_authority(
    urls: dict[str, str], pki: dict[str, Credentials], tmp_path: Path
) -> None:
    make_authority(tmp_path / "foreign")
    foreign = make_certificate(tmp_path / "foreign", "sae", "app-a")
    application = draw.AppCredentials(pki["ca"].certificate, foreign)
    async with draw.KeyClient(urls["alice"], application) as stranger:
        with pytest.raises(draw.DrawError, match="does the node trust this certificate's auth"):
            await stranger.request_keys("app-b")


@pytest.mark.parametrize("url", ["nonsense", "https://", "127.0.0.1:7512", "http://127.0.0.1:1"])
def test_another_url_is_one_clear_error(pki: dict[str, Credentials], url: str) -> None:
    with pytest.raises(draw.DrawError, match="give https://host:port"):
        client(url, pki, "app-a")


def test_a_blank_application_is_refused(
    pki: dict[str, Credentials], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command(pki, "app-a", "https://127.0.0.1:1", "--slave", "")
    assert "cannot be blank" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "https://127.0.0.1:x"])
async def test_no_answer_is_one_clear_error(pki: dict[str, Credentials], url: str) -> None:
    async with client(url, pki, "app-a") as nowhere:
        with pytest.raises(draw.DrawError) as failure:
            await nowhere.request_keys("app-b")
    assert "object at" not in str(failure.value)
    assert "authority" not in str(failure.value)


async def test_a_node_of_another_authority_is_not_trusted(
    urls: dict[str, str], pki: dict[str, Credentials], tmp_path: Path
) -> None:
    foreign = make_authority(tmp_path / "foreign").certificate
    application = draw.AppCredentials(foreign, pki["app-a"])
    async with draw.KeyClient(urls["alice"], application) as client:
        with pytest.raises(draw.DrawError, match="certificate verify failed"):
            await client.request_keys("app-b")


def test_certificates_that_cannot_be_read_are_one_clear_error(tmp_path: Path) -> None:
    missing, garbage = tmp_path / "missing.pem", tmp_path / "garbage.pem"
    garbage.write_text("nothing")
    with pytest.raises(draw.DrawError, match="cannot be used together"):
        draw.client_context(draw.AppCredentials(garbage, Credentials(garbage, garbage)))
    with pytest.raises(draw.DrawError, match=f"there is no file {missing}"):
        draw.client_context(draw.AppCredentials(garbage, Credentials(missing, garbage)))


@pytest.mark.parametrize(
    "arguments", [["--master", "app-a"], ["--slave", "app-b", "--key-id", str(uuid.uuid4())]]
)
def test_key_ids_go_with_a_master(pki: dict[str, Credentials], arguments: list[str]) -> None:
    assert command(pki, "app-b", "https://localhost:1", *arguments) == 2
