"""ETSI GS QKD 014 against the real server over real TLS: every row of its tables, and bad input."""

import asyncio
import base64
import uuid
from typing import Any

import aiohttp
import pytest
from levels import assert_levels_off

from qkd_controller.delivery.server import (
    KeysDelivered,
    RequestRefused,
)
from qkd_controller.keys.errors import StoreError

NOT_FOUND = "one or more keys specified are not found on KME"


async def draw(node: Any, caller: str = "app-a", slave: str = "app-b", **request: Any) -> list[Any]:
    answer = await node.ask(caller, "POST", f"{slave}/enc_keys", request)
    assert answer.status == 200, answer.body
    keys = answer.body["keys"]
    assert isinstance(keys, list)
    return keys


def ids(*keys: Any) -> dict[str, Any]:
    return {"key_IDs": [{"key_ID": key["key_ID"]} for key in keys]}


async def test_status_tells_all_of_table_8(alice: Any) -> None:
    answer = await alice.ask("app-a", "GET", "app-b/status")
    assert answer.status == 200
    assert answer.body == {
        "source_KME_ID": "kme-alice",
        "target_KME_ID": "kme-bob",
        "master_SAE_ID": "app-a",
        "slave_SAE_ID": "app-b",
        "key_size": 256,
        "stored_key_count": 6000 * 8 // 256,
        "max_key_count": 2**31 - 1,
        "max_key_per_request": 128,
        "max_key_size": 8192,
        "min_key_size": 64,
        "max_SAE_ID_count": 0,
    }
    await draw(alice, number=2, size=512)
    answer = await alice.ask("app-a", "GET", "app-b/status")
    assert answer.body["stored_key_count"] == (6000 - 128) * 8 // 256


async def test_the_same_key_comes_out_at_both_ends_once(alice: Any, bob: Any) -> None:
    keys = await draw(alice, number=3, size=128)
    assert len({key["key_ID"] for key in keys}) == 3
    for key in keys:
        assert len(base64.b64decode(key["key"], validate=True)) == 16
        assert key["key_ID"] == str(uuid.UUID(key["key_ID"]))
    answer = await bob.ask("app-b", "POST", "app-a/dec_keys", ids(*keys))
    assert answer.status == 200
    assert answer.body["keys"] == keys
    assert answer.headers["Cache-Control"] == "no-store"
    again = await bob.ask("app-b", "POST", "app-a/dec_keys", ids(keys[1]))
    assert (again.status, again.body["message"]) == (400, NOT_FOUND)
    assert alice.events == [KeysDelivered("enc_keys", "app-a", "app-b", 3, 128)]
    assert bob.events[0] == KeysDelivered("dec_keys", "app-a", "app-b", 3, 128)
    assert isinstance(bob.events[1], RequestRefused)


async def test_both_ends_can_be_master_at_once(alice: Any, bob: Any) -> None:
    drawn = await asyncio.gather(
        *(draw(alice, "app-a", "app-b") for _ in range(8)),
        *(draw(bob, "app-b", "app-a") for _ in range(8)),
    )
    assert len({keys[0]["key"] for keys in drawn}) == 16
    fetched = await asyncio.gather(
        *(bob.ask("app-b", "POST", "app-a/dec_keys", ids(*keys)) for keys in drawn[:8]),
        *(alice.ask("app-a", "POST", "app-b/dec_keys", ids(*keys)) for keys in drawn[8:]),
    )
    assert [answer.body["keys"] for answer in fetched] == drawn


@pytest.mark.parametrize(
    ("method", "path", "body", "count", "size"),
    [
        ("GET", "app-b/enc_keys", None, 1, 256),
        ("GET", "app-b/enc_keys?number=5", None, 5, 256),
        ("GET", "app-b/enc_keys?number=3&size=1024", None, 3, 1024),
        ("GET", "app-b/enc_keys?unknown=1", None, 1, 256),
        ("GET", "app-b/enc_keys", {"number": 7}, 1, 256),
        ("POST", "app-b/enc_keys", None, 1, 256),
        ("POST", "app-b/enc_keys", {}, 1, 256),
        ("POST", "app-b/enc_keys", {"number": 5}, 5, 256),
        ("POST", "app-b/enc_keys", {"size": 64}, 1, 64),
        ("POST", "app-b/enc_keys", {"size": 8192, "number": 2}, 2, 8192),
        ("POST", "app-b/enc_keys", {"number": 128, "size": 64}, 128, 64),
        ("POST", "app-b/enc_keys", {"additional_target_sae_ids": [], "x": {"y": 1}}, 1, 256),
        ("POST", "app-b/enc_keys", {"additional_slave_SAE_IDs": []}, 1, 256),
        ("POST", "app-b/enc_keys", {"extension_mandatory": []}, 1, 256),
        ("POST", "app-b/enc_keys", {"number": None, "extension_mandatory": None}, 1, 256),
        ("POST", "app-b/enc_keys", {"extension_optional": [{"abc_max_age": 30}]}, 1, 256),
        ("POST", "app%2Db/enc_keys", {}, 1, 256),
    ],
)
async def test_good_key_requests(
    alice: Any, method: str, path: str, body: Any, count: int, size: int
) -> None:
    answer = await alice.ask("app-a", method, path, body)
    assert answer.status == 200, answer.body
    lengths = [len(base64.b64decode(key["key"])) for key in answer.body["keys"]]
    assert lengths == [size // 8] * count


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        *[
            ("GET", f"app-b/enc_keys?size={size}", None, "size")
            for size in ("0", "-8", "abc01", "", "1e2", "0x80")
        ],
        *[
            ("GET", f"app-b/enc_keys?number={number}", None, "number")
            for number in ("0", "-8", "abc01", "9" * 40)
        ],
        *[
            ("POST", "app-b/enc_keys", {"size": size}, "size")
            for size in (0, -8, "abc01", "128", 12.5, [256], 10**30)
        ],
        *[
            ("POST", "app-b/enc_keys", {"number": number}, "number")
            for number in (0, -8, "abc01", True, 129)
        ],
        ("GET", "app-b/enc_keys?number=129", None, "number shall not exceed 128"),
        ("POST", "app-b/enc_keys", {"size": 257}, "size shall be a multiple of 8"),
        ("GET", "app-b/enc_keys?size=257", None, "size shall be a multiple of 8"),
        ("POST", "app-b/enc_keys", {"size": 56}, "between 64 and 8192"),
        ("POST", "app-b/enc_keys", {"size": 8200}, "between 64 and 8192"),
        ("POST", "app-b/enc_keys", [], "understood"),
        ("POST", "app-b/enc_keys", "number", "understood"),
        ("POST", "app-b/enc_keys", {"additional_slave_SAE_IDs": ["app-d"]}, "max_SAE_ID_count"),
        ("POST", "app-b/enc_keys", {"additional_slave_SAE_IDs": "app-d"}, "understood"),
        ("POST", "app-b/enc_keys", {"extension_mandatory": {"a": 1}}, "understood"),
        ("POST", "app-a/enc_keys", {}, "that of the requesting SAE"),
        ("POST", "%20/enc_keys", {}, "blank"),
        ("GET", "app-a/status", None, "that of the requesting SAE"),
        ("GET", "%20/status", None, "blank"),
        ("GET", "app-b/dec_keys", None, "at least one key_ID"),
        ("GET", "app-b/dec_keys?key_ID=12", None, "UUID"),
        ("GET", "app-b/dec_keys?key_ID=12&key_ID=13", None, "use POST for several"),
        ("POST", "app-b/dec_keys", None, "understood"),
        ("POST", "app-b/dec_keys", {}, "key_IDs"),
        ("POST", "app-b/dec_keys", {"key_IDs": []}, "at least one key_ID"),
        ("POST", "app-b/dec_keys", {"key_IDs": [{"key_ID": "nonsense"}]}, "UUID"),
        ("POST", "app-b/dec_keys", {"key_IDs": ["nonsense"]}, "understood"),
        ("POST", "app-b/dec_keys", {"key_IDs": [{"key_ID": str(uuid.uuid4())}]}, NOT_FOUND),
        ("GET", f"app-b/dec_keys?key_ID={uuid.UUID(int=0)}", None, NOT_FOUND),
        ("POST", "app-b/dec_keys", {"key_IDs": [{"key_ID": str(uuid.uuid4())}] * 129}, "128"),
        ("POST", "app-a/dec_keys", {"key_IDs": [{"key_ID": str(uuid.uuid4())}]}, "requesting SAE"),
    ],
)
async def test_bad_requests_get_400_and_cost_no_key(
    alice: Any, method: str, path: str, body: Any, message: str
) -> None:
    before = alice.pool.status()
    answer = await alice.ask("app-a", method, path, body)
    assert answer.status == 400
    assert message in answer.body["message"]
    assert alice.pool.status() == before
    assert [event.status for event in alice.events] == [400]


@pytest.mark.parametrize("raw", [b"{", b"\xff\xfe", b'{"number": 1', b"[" * 100_000])
async def test_bodies_that_are_no_json_get_400(alice: Any, raw: bytes) -> None:
    for method in ("enc_keys", "dec_keys"):
        answer = await alice.ask("app-a", "POST", f"app-b/{method}", raw=raw)
        assert answer.status == 400
        assert "message" in answer.body


async def test_mandatory_extensions_are_refused_by_name(alice: Any) -> None:
    body = {"extension_mandatory": [{"abc_route_type": "direct"}, {"abc_max_age": 3}]}
    answer = await alice.ask("app-a", "POST", "app-b/enc_keys", body)
    assert answer.status == 400
    assert answer.body == {
        "message": "not all extension_mandatory parameters are supported",
        "details": [
            {"extension_mandatory_unsupported": "abc_route_type is not supported"},
            {"extension_mandatory_unsupported": "abc_max_age is not supported"},
        ],
    }


async def test_key_ids_are_taken_in_either_case_by_get_and_post(alice: Any, bob: Any) -> None:
    first, second = await draw(alice, number=2)
    got = await bob.ask("app-b", "GET", f"app-a/dec_keys?key_ID={first['key_ID'].upper()}")
    assert got.body == {"keys": [first]}
    posted = {
        "key_IDs": [{"key_ID": second["key_ID"].upper(), "key_ID_extension": {"x": 1}}],
        "key_IDs_extension": {"y": 2},
    }
    got = await bob.ask("app-b", "POST", "app-a/dec_keys", posted)
    assert got.body == {"keys": [second]}


async def test_keys_by_id_come_all_or_none(alice: Any, bob: Any) -> None:
    keys = await draw(alice, number=2)
    for bad in ([*keys, {"key_ID": str(uuid.uuid4())}], [keys[0], keys[0]]):
        answer = await bob.ask("app-b", "POST", "app-a/dec_keys", ids(*bad))
        assert (answer.status, answer.body["message"]) == (400, NOT_FOUND)
    answer = await bob.ask("app-b", "POST", "app-a/dec_keys", ids(*reversed(keys)))
    assert answer.body["keys"] == keys[::-1]


async def test_the_master_cannot_fetch_its_key_again(alice: Any) -> None:
    keys = await draw(alice)
    answer = await alice.ask("app-a", "POST", "app-b/dec_keys", ids(*keys))
    assert answer.status in (400, 401)
    assert "keys" not in answer.body


async def test_only_the_slave_it_was_made_for_gets_a_key(alice: Any, bob: Any) -> None:
    keys = await draw(alice, "app-a", "app-b")
    # app-d may share keys with app-a, but this key is for app-b.
    answer = await bob.ask("app-d", "POST", "app-a/dec_keys", ids(*keys))
    assert answer.status == 401
    mixed = await draw(alice, "app-a", "app-d")
    answer = await bob.ask("app-d", "POST", "app-a/dec_keys", ids(*mixed, *keys))
    assert answer.status == 401
    # app-d names app-c as master, which did not draw it.
    answer = await bob.ask("app-d", "POST", "app-c/dec_keys", ids(*mixed))
    assert answer.status == 401
    assert (await bob.ask("app-d", "POST", "app-a/dec_keys", ids(*mixed))).status == 200
    assert (await bob.ask("app-b", "POST", "app-a/dec_keys", ids(*keys))).status == 200


@pytest.mark.parametrize("path", ["app-b/status", "app-b/enc_keys", "app-b/dec_keys"])
@pytest.mark.parametrize(
    ("caller", "message"),
    [
        ("nobody", "not configured"),
        ("app-b", "not configured"),
        ("app-c", "may not share keys"),
        ("bob", "an SAE's is needed"),
    ],
)
async def test_others_get_401_with_an_error_body(
    alice: Any, caller: str, message: str, path: str
) -> None:
    method = "GET" if path.endswith("status") else "POST"
    body = ids({"key_ID": str(uuid.uuid4())}) if path.endswith("dec_keys") else None
    answer = await alice.ask(caller, method, path, body)
    assert answer.status == 401
    assert message in answer.body["message"]


async def test_headers_do_not_name_the_caller(alice: Any) -> None:
    async with (
        aiohttp.ClientSession(headers={"X-SAE-ID": "app-a", "X-Forwarded-For": "app-a"}) as session,
        session.get(
            f"{alice.url}/api/v1/keys/app-b/enc_keys", ssl=alice.context("nobody")
        ) as response,
    ):
        assert response.status == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "app-b/nothing", 404),
        ("GET", "app-b", 404),
        ("GET", "app-b/status/", 404),
        ("POST", "app-b/status", 405),
        ("PUT", "app-b/enc_keys", 405),
        ("DELETE", "app-b/dec_keys", 405),
    ],
)
async def test_other_paths_and_methods_get_an_error_body(
    alice: Any, method: str, path: str, status: int
) -> None:
    answer = await alice.ask("app-a", method, path)
    assert answer.status == status
    assert answer.body["message"]
    assert ("Allow" in answer.headers) == (status == 405)


async def test_too_large_a_body_gets_413(alice: Any) -> None:
    answer = await alice.ask("app-a", "POST", "app-b/enc_keys", raw=b" " * 300_000)
    assert answer.status == 413
    assert answer.body["message"]


async def test_too_little_key_gets_503_and_costs_nothing(alice: Any) -> None:
    answer = await alice.ask("app-a", "POST", "app-b/enc_keys", {"number": 6, "size": 8192})
    assert answer.status == 503
    assert "too few bits for 6 keys of 8192 bits" in answer.body["message"]
    assert len(await draw(alice, number=5, size=8192)) == 5


@pytest.mark.parametrize(
    "error", [StoreError("no space is left for /secret/place"), RuntimeError("a defect")]
)
async def test_a_failing_store_gets_503_that_tells_nothing(
    alice: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any) -> Any:
        raise error

    for name in ("status", "allocate", "redeem"):
        monkeypatch.setattr(alice.pool, name, fail)
    for method, path, body in (
        ("GET", "app-b/status", None),
        ("POST", "app-b/enc_keys", {}),
        ("POST", "app-b/dec_keys", ids({"key_ID": str(uuid.uuid4())})),
    ):
        answer = await alice.ask("app-a", method, path, body)
        assert (answer.status, answer.body) == (503, {"message": "error on server side"})


async def test_keys_leave_the_pool_before_the_answer_leaves_the_node(
    alice: Any, bob: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[int] = []
    record = alice.events.append

    def note(event: Any) -> None:
        left.append(alice.pool.status().own_bits)
        record(event)

    monkeypatch.setattr(alice.server, "_on_event", note)
    await draw(alice, number=1, size=800)
    assert left == [(6000 - 100) * 8]


@pytest.mark.parametrize("number", [0, -1])
async def test_a_number_below_one_is_refused_in_plain_words(alice: Any, number: int) -> None:
    answer = await alice.ask("app-a", "POST", "app-b/enc_keys", {"number": number})
    assert answer.status == 400
    assert answer.body["message"] == f"number shall be at least 1, not {number}"


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_requests_leave_nothing_behind(alice: Any, bob: Any) -> None:
    async def ask() -> None:
        if not alice.pool.status().own_bits:
            pytest.fail("the pool is too small for so many keys")
        keys = await draw(alice, number=1, size=64)
        assert (await bob.ask("app-b", "POST", "app-a/dec_keys", ids(*keys))).status == 200
        alice.events.clear()
        bob.events.clear()

    await assert_levels_off(ask)
