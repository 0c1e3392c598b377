"""Two nodes with equal pools, each serving ETSI GS QKD 014 over real TLS on loopback."""

import json
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from qkd_controller.cli.draw import AppCredentials, client_context
from qkd_controller.cli.pki import Credentials, make_authority, make_certificate
from qkd_controller.config.link import BlockPlan, LinkFile, Roles
from qkd_controller.config.node import Application, Delivery, Tls
from qkd_controller.delivery.server import DeliveryServer, Event
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
POOL_BYTES = 6000
"""Of each half."""


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Credentials]:
    directory = tmp_path_factory.mktemp("pki")
    foreign = tmp_path_factory.mktemp("foreign")
    made = {"ca": make_authority(directory), "foreign-ca": make_authority(foreign)}
    for name in ("alice", "bob"):
        made[name] = make_certificate(directory, "node", name)
    for name in ("app-a", "app-b", "app-c", "app-d", "nobody"):
        made[name] = make_certificate(directory, "sae", name)
    made["foreign-app-a"] = make_certificate(foreign, "sae", "app-a")
    return made


@dataclass
class Answer:
    status: int
    body: Any
    headers: Any


@dataclass
class Node:
    """One serving node, asked with the certificate of any application."""

    server: DeliveryServer
    pool: KeyPool
    config: Delivery
    pki: dict[str, Credentials]
    events: list[Event] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server.port}"

    def context(self, caller: str) -> ssl.SSLContext:
        return client_context(AppCredentials(self.pki["ca"].certificate, self.pki[caller]))

    async def ask(
        self, caller: str, method: str, path: str, body: Any = None, raw: bytes | None = None
    ) -> Answer:
        data = raw if raw is not None else (None if body is None else json.dumps(body).encode())
        headers = {"Content-Type": "application/json"} if data is not None else {}
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method,
                f"{self.url}/api/v1/keys/{path}",
                data=data,
                headers=headers,
                ssl=self.context(caller),
            ) as response,
        ):
            content = await response.read()
            assert response.content_type == "application/json"
            parsed = json.loads(content) if content else None
            return Answer(response.status, parsed, response.headers)


@pytest.fixture
def pools(tmp_path: Path) -> Iterator[tuple[KeyPool, KeyPool]]:
    secret = make_pairing(LINK, 100)
    key = bytes((7 * i + i // 256) % 256 for i in range(2 * POOL_BYTES))
    with KeyStore(tmp_path / "alice") as alice, KeyStore(tmp_path / "bob") as bob:
        made = []
        for keys, name in ((alice, "alice"), (bob, "bob")):
            import_pairing(keys, secret, name)
            store = open_link(keys, LINK, name)
            store.release(AmplifiedBlock(1, bytearray(key), 0, 1e-10))
            made.append(KeyPool(store, store.own_half))
        yield made[0], made[1]


def _serve(name: str, pool: KeyPool, pki: dict[str, Credentials]) -> Node:
    applications = {
        "alice": (Application("app-a", ("app-b", "app-d")), Application("app-c", ("app-d",))),
        "bob": (Application("app-b", ("app-a",)), Application("app-d", ("app-a", "app-c"))),
    }
    peer = "bob" if name == "alice" else "alice"
    config = Delivery("127.0.0.1:0", f"kme-{name}", f"kme-{peer}", applications[name])
    tls = Tls(str(pki["ca"].certificate), str(pki[name].certificate), str(pki[name].key))
    events: list[Event] = []
    return Node(DeliveryServer(config, tls, pool, events.append), pool, config, pki, events)


@pytest.fixture
async def alice(pools: tuple[KeyPool, KeyPool], pki: dict[str, Credentials]) -> AsyncIterator[Node]:
    node = _serve("alice", pools[0], pki)
    async with node.server:
        yield node


@pytest.fixture
async def bob(pools: tuple[KeyPool, KeyPool], pki: dict[str, Credentials]) -> AsyncIterator[Node]:
    node = _serve("bob", pools[1], pki)
    async with node.server:
        yield node


@pytest.fixture
def changed() -> Any:
    """A configuration with some fields replaced."""
    return msgspec.structs.replace
