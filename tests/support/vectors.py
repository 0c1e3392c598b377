"""Known-answer vectors (native/vectors): their inputs, and what our kernels answer.

As a program it writes the answers into the files of the families named: those of the plain
definition, where there is one, else those of the portable version.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import definitions
import kernels_defined
import numpy as np
from vector_forms import answer, flat_bytes, given, int64s, splitmix64

from qkd_native import deltas
from qkd_native._kernels import ffi, lib
from qkd_native.bits import BitString
from qkd_native.cascade import Corrector, Plan, Reference
from qkd_native.clicks import EventResolver
from qkd_native.mac import frame_hashes, poly_hash
from qkd_native.matching import match
from qkd_native.photons import PhotonSource, PhotonTable
from qkd_native.tier import Tier, current, forced

FOLDER = Path(__file__).parents[2] / "native" / "vectors"
Case = dict[str, Any]
Answers = dict[str, str | int]


def files() -> list[Path]:
    """Those of all families."""
    return sorted(FOLDER.glob("*.json"))


def run(family: str, case: Case) -> Answers:
    """What a case's function answers in the current tier."""
    return _RUNNERS[family](case)


def _mac(case: Case) -> Answers:
    key = given(case["key"])
    match case["function"]:
        case "absorb":
            state, blocks = bytearray(16), given(case["blocks"])
            lib.qkd_poly_absorb(
                ffi.from_buffer("uint8_t[]", state), key, blocks, len(blocks) // 16, int(current())
            )
            return {"digest": answer(state)}
        case "hash":
            return {"digest": answer(poly_hash(key, given(case["message"])))}
        case _:
            hashes = frame_hashes(key, flat_bytes(case["string"]), case["bits"], case["frame_bits"])
            return {"digest": answer(hashes.tobytes())}


def _gf2x(case: Case) -> Answers:
    a, b = (np.frombuffer(given(case[name]), np.uint64) for name in "ab")
    window = np.empty(case["count"], np.uint64)
    scratch = np.empty(lib.qkd_gf2x_scratch_words(window.size, a.size, b.size), np.uint64)
    lib.qkd_gf2x_window(
        ffi.from_buffer("uint64_t[]", window),
        case["first"],
        window.size,
        ffi.from_buffer("uint64_t[]", a),
        a.size,
        ffi.from_buffer("uint64_t[]", b),
        b.size,
        ffi.from_buffer("uint64_t[]", scratch),
        int(current()),
    )
    return {"window": answer(window.tobytes())}


def _decode(case: Case) -> Answers:
    data = np.frombuffer(given(case["input"]), np.uint8)
    times, channels = np.empty(4 * data.size, np.int64), np.empty(4 * data.size, np.uint8)
    out = ffi.from_buffer("int64_t[]", times), ffi.from_buffer("uint8_t[]", channels)
    source, tier = ffi.from_buffer("uint8_t[]", data), int(current())
    counts = ffi.new("qkd_word_counts *")
    match case["function"]:
        case "tdc1":
            tags = lib.qkd_tdc1_decode(tier, ffi.new("qkd_tdc1 *"), source, data.size, *out)
        case "legacy":
            tags = lib.qkd_legacy_decode(tier, source, data.size // 8, *out, counts)
        case "t2":
            flavour, tick_ps = case["flavour"], case["tick_ps"]
            state = ffi.new("qkd_t2 *")
            tags = lib.qkd_t2_decode(tier, state, source, data.size // 4, flavour, tick_ps, *out)
        case "qutag":
            tags = data.size // 10
            lib.qkd_qutag_decode(source, tags, *out)
        case "uint64":
            tags = data.size // 8
            lib.qkd_uint64_decode(source, tags, 1, out[0])
            channels[:tags] = 0
        case name:
            swapped = name == "a1_swapped"
            tags = lib.qkd_a1_decode(tier, source, data.size // 8, swapped, *out, counts)
    return {
        "tags": tags,
        "times": answer(times[:tags].tobytes()),
        "channels": answer(channels[:tags].tobytes()),
    }


def _matching(case: Case) -> Answers:
    found = match(int64s(case["a"]), int64s(case["b"]) + case["shift_ps"], case["window_ps"])
    return {
        "pairs": len(found.ia),
        "ambiguous": found.ambiguous,
        "ia": answer(found.ia.tobytes()),
        "ib": answer(found.ib.tobytes()),
    }


def _deltas(case: Case) -> Answers:
    values = int64s(case["values"])
    coded = deltas.encode(values, case["start"])
    assert np.array_equal(deltas.decode(coded, len(values), case["start"]), values)
    return {"length": len(coded), "bytes": answer(coded)}


def _clicks(case: Case) -> Answers:
    resolver = EventResolver(
        case["window_ps"],
        case["dead_time_ps"],
        {2: case["delay_ps"]},
        {channel: channel - 1 for channel in (1, 2, 3, 4)},
        case["reorder_ps"],
        draw=lambda count: bytes([0x55 * case["drawn_bits"]]) * count,
    )
    clicks, channels = int64s(case["times"]), flat_bytes(case["channels"]) % 6
    times, codes = np.empty(len(clicks) + 1, np.int64), np.empty(len(clicks) + 1, np.uint8)
    count = resolver.feed(clicks, channels, times, codes)
    count += resolver.flush(times[count:], codes[count:])
    return {
        "events": resolver.events,
        "multi": resolver.multi,
        "event_times": answer(times[:count].tobytes()),
        "event_codes": answer(codes[:count].tobytes()),
    }


def _cascade(case: Case) -> Answers:
    bits, blocks = case["bits"], tuple(given(case["blocks"]))
    words = splitmix64(case["seed"], (len(blocks) + 1) * bits)
    orders = np.empty((len(blocks), bits), np.uint16)
    for order, draws in zip(orders, words[bits:].reshape(orders.shape), strict=True):
        order[:] = np.arange(bits)
        for i in range(bits - 1, 0, -1):
            j = int(draws[i]) % (i + 1)
            order[[i, j]] = order[[j, i]]
    drawn = (words[:bits] & np.uint64(1)).astype(np.uint8)
    wrong = (words[:bits] >> np.uint64(32)) % np.uint64(case["errors_one_in"]) == 0
    truth, noisy = BitString.of(drawn), BitString.of(drawn ^ wrong.astype(np.uint8))
    plan = Plan(bits, bits, blocks, orders)
    corrector, reference = Corrector(plan, noisy), Reference(plan, truth)
    asked = b""
    rounds = 0
    while (questions := corrector.ask()).size:
        corrector.absorb(questions, reference.answer(questions))
        asked += questions.tobytes()
        rounds += 1
    return {
        "rounds": rounds,
        "questions": len(asked) // 4,
        "asked": answer(asked),
        "left": truth.differing(noisy),
    }


def _photons(case: Case) -> Answers:
    def permille(name: str) -> float:
        return float(case[name + "_permille"]) / 1000

    table = PhotonTable(
        pair_rate_hz=case["pair_rate_hz"],
        transmission=(permille("transmission"),) * 2,
        basis_z_probability=(0.5, 0.25),
        correlation=(permille("correlation"), 0.0, 0.0, permille("correlation")),
        efficiency=(permille("efficiency"),) * 8,
        dark_rate_hz=(case["dark_rate_hz"],) * 8,
        jitter_ps=(case["jitter_ps"],) * 8,
        dead_time_ps=(case["dead_time_ps"],) * 8,
        afterpulse_probability=(permille("afterpulse"),) * 8,
        afterpulse_decay_ps=(50_000.0,) * 8,
    )
    ends = PhotonSource(case["seed"]).generate(table, case["until_ps"])
    answers: Answers = {}
    for end, (times, channels) in enumerate(ends):
        answers[f"clicks_{end}"] = len(times)
        answers[f"times_{end}"] = answer(times.tobytes())
        answers[f"channels_{end}"] = answer(channels.tobytes())
    return answers


_RUNNERS: dict[str, Callable[[Case], Answers]] = {
    "cascade": _cascade,
    "clicks": _clicks,
    "decode": _decode,
    "deltas": _deltas,
    "gf2x": _gf2x,
    "ldpc": kernels_defined.run_ldpc,
    "mac": _mac,
    "matching": _matching,
    "merge": kernels_defined.run_merge,
    "photons": _photons,
    "search": kernels_defined.run_search,
    "sifting": kernels_defined.run_sifting,
    "slots": kernels_defined.run_slots,
}


def _regenerate(path: Path) -> None:
    whole = json.loads(path.read_text())
    defined = definitions.DEFINED.get(whole["family"])
    for case in whole["cases"]:
        if defined:
            results = defined(case, given)
            answers = {n: answer(r) if isinstance(r, bytes) else r for n, r in results.items()}
        else:
            with forced(Tier.PORTABLE):
                answers = run(whole["family"], case)
        if "source" in case:
            for name, value in answers.items():
                if case[name] != value:
                    raise SystemExit(f"{path.name}: {case['source']}: {name} is {value}")
        else:
            case.update(answers)
    path.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    for file in files():
        if len(sys.argv) == 1 or file.stem in sys.argv[1:]:
            _regenerate(file)
