"""What our kernels answer to the vectors that `definitions` has the answers to."""

from fractions import Fraction
from typing import Any

import numpy as np
from vector_forms import answer, flat_bytes, given, int64s, splitmix64

from qkd_native import search, sifting
from qkd_native._kernels import ffi, lib
from qkd_native.bits import BitString
from qkd_native.slots import SlotTracker
from qkd_native.tier import current

Case = dict[str, Any]
Answers = dict[str, str | int]


def run_sifting(case: Case) -> Answers:
    """The sift and its subsets."""
    codes = flat_bytes(case["codes"])
    if case["function"] == "subset":
        listed = int64s(case["places"])
        places = listed + np.arange(listed.size)
        kept, left = BitString.of(codes & 1), BitString.of(codes & 1)
        try:
            taken = sifting.take(codes, places)
            kept.keep(places)
            left.keep(places, rest=True)
        except ValueError:
            taken, kept, left = codes[:0], BitString.zeros(0), BitString.zeros(0)
        return {
            "inside": int(taken.size == places.size),
            "taken": answer(taken.tobytes()),
            "kept_bits": answer(kept.to_bytes()),
            "left_bits": answer(left.to_bytes()),
        }
    bits, bases = BitString.zeros(codes.size), BitString.zeros(codes.size)
    several = sifting.take_apart(codes.copy(), bits, bases)
    own_bases = bases.to_bytes()
    z, x = sifting.sift(bits, bases, given(case["peer"]))
    return {
        "several": several,
        "bases": answer(own_bases),
        "z": answer(z.to_bytes()),
        "x": answer(x.to_bytes()),
    }


def run_merge(case: Case) -> Answers:
    """The merge, without its face, which tells a refusal in words."""
    words = [given(case[f"words_{channel}"]) for channel in (1, 2, 3, 4)]
    most = sum(map(len, words)) // 8
    times, channels = np.empty(most, np.int64), np.empty(most, np.uint8)
    merge = ffi.new(
        "qkd_merge *",
        {
            "bytes": [ffi.from_buffer("uint8_t[]", data) for data in words],
            "end": [len(data) for data in words],
            **{name: case[name] for name in ("limit_ps", "reorder_ps", "offset_ps")},
        },
    )
    out = ffi.from_buffer("int64_t[]", times), ffi.from_buffer("uint8_t[]", channels)
    tags = lib.qkd_merge_tags(int(current()), merge, most, *out)
    return {
        "tags": tags,
        "refused": merge.refused,
        "times": answer(times[:tags].tobytes()),
        "channels": answer(channels[:tags].tobytes()),
    }


def run_slots(case: Case) -> Answers:
    """Slots through their tracker."""
    tracker = SlotTracker(
        Fraction(case["period"], 1 << 32),
        case["gate_ps"],
        case["first_ps"],
        interval=case["interval"],
        phase_gain=case["phase_gain"] / 256,
        period_gain=case["period_gain"] / 256,
    )
    slots, channels = tracker.assign(int64s(case["times"]), flat_bytes(case["channels"]))
    return {
        "accepted": tracker.accepted,
        "repeated": tracker.repeated,
        "slots": answer(slots.tobytes()),
        "slot_channels": answer(channels.tobytes()),
        "period_at_end": int(tracker.period_ps * (1 << 32)),
    }


def run_search(case: Case) -> Answers:
    """The search, but for its lines through its Python face."""
    match case["function"]:
        case "bins":
            bin_ps = float(1 << case["bin_log2_ps"])
            bins = search.bin_times(
                int64s(case["times"]), case["origin_ps"], bin_ps, case["bin_count"]
            )
            return {"bins": answer(bins.tobytes())}
        case "map":
            return {
                "mapped": answer(search.map_times(int64s(case["times"]), _clock(case)).tobytes())
            }
        case "plane":
            names = ("first_ps", "row_ps", "used_ps", "low_ps", "shift")
            plane = search.plane(
                int64s(case["a"]),
                int64s(case["b"]),
                _clock(case),
                *(case[name] for name in names),
                (case["rows"], case["columns"]),
            )
            return {"plane": answer(plane.tobytes())}
        case "correlate":
            lags, floor = np.zeros((2, case["lags"]), np.float32)
            a, b = (flat_bytes(case[name]) % 8 for name in "ab")
            search.Correlator(10).correlate(a, b, lags, floor)
            return {"sums": answer(np.rint(lags + floor).astype(np.int64).tobytes())}
        case _:
            return _lines(case)


def _clock(case: Case) -> tuple[int, int, float]:
    return case["origin_ps"], case["offset_ps"], case["rate_q64"] / 2**64


def _lines(case: Case) -> Answers:
    plane = flat_bytes(case["plane"]).reshape(case["rows"], -1).astype(np.float32)
    slope, fine = flat_bytes(case["slope"]), flat_bytes(case["fine"])
    base = (flat_bytes(case["base"]) % 16).astype(np.int32)
    slopes = fine.size // case["group"]
    best = np.empty(case["columns"], np.float32)
    drift = np.empty(case["columns"], np.int32)
    groups = base.size // slope.size
    scratch = np.empty(lib.qkd_search_lines_scratch(groups, slopes, base.max()), np.uint8)
    lib.qkd_search_lines(
        int(current()),
        ffi.from_buffer("float[]", plane),
        *plane.shape,
        case["columns"],
        case["group"],
        ffi.from_buffer("int32_t[]", base),
        ffi.from_buffer("int32_t[]", (slope % slopes).astype(np.int32)),
        slope.size,
        ffi.from_buffer("int32_t[]", (fine % 8).astype(np.int32)),
        slopes,
        ffi.from_buffer(scratch),
        ffi.from_buffer("float[]", best),
        ffi.from_buffer("int32_t[]", drift),
    )
    return {"best": answer(best.tobytes()), "drift": answer(drift.tobytes())}


def run_ldpc(case: Case) -> Answers:
    """The decoder, for which no face takes a code at random."""
    rows, columns, size = case["rows"], case["columns"], case["size"]
    words = splitmix64(case["seed"], columns * (rows + size))
    draws, draw = words[: rows * columns].reshape(rows, columns), words[rows * columns :]
    there = draws % np.uint64(8) < 3
    there |= np.arange(columns) % rows == np.arange(rows)[:, None]
    shifts = (draws >> np.uint64(32)) % np.uint64(size)
    edges = np.stack((np.nonzero(there)[1], shifts[there]), axis=1).astype(np.uint16)
    row_start = np.concatenate(([0], np.cumsum(there.sum(axis=1)))).astype(np.uint32)
    draw = draw[: case["count"]]
    truth = (draw & np.uint64(1)).astype(np.uint8)
    wrong = (draw >> np.uint64(32)) % np.uint64(case["errors_one_in"]) == 0
    right, found = BitString.of(truth), BitString.of(truth ^ wrong)
    code = ffi.new(
        "qkd_ldpc_code *",
        {
            "rows": rows,
            "columns": columns,
            "size": size,
            "row_start": ffi.from_buffer("uint32_t[]", row_start),
            "edges": ffi.from_buffer("qkd_ldpc_edge[]", edges),
        },
    )
    told = BitString.zeros(rows * size)
    syndrome = ffi.from_buffer("uint64_t[]", told.words)
    posteriors = np.empty(lib.qkd_ldpc_posteriors(code), np.int16)
    messages = np.empty(lib.qkd_ldpc_messages(code), np.uint8)
    lib.qkd_ldpc_syndrome(code, ffi.from_buffer("uint64_t[]", right.words), right.size, syndrome)
    done = lib.qkd_ldpc_decode(
        int(current()),
        code,
        syndrome,
        ffi.from_buffer("uint64_t[]", found.words),
        found.size,
        case["reliability"],
        case["iterations"],
        ffi.from_buffer("int16_t[]", posteriors),
        ffi.from_buffer("uint8_t[]", messages),
    )
    return {
        "syndrome": answer(told.to_bytes()),
        "done": done + 1,
        "found": answer(found.to_bytes()),
    }
