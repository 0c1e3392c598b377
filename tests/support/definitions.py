"""What kernels of `vectors` compute, defined plainly: one item at a time, in whole numbers.

Nothing here is shared with the kernels or their faces.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import log
from typing import Any

Case = dict[str, Any]
Results = dict[str, bytes | int]
"""Answers, byte strings as they are."""

_MASK = (1 << 64) - 1
ROOT_HALF = struct.unpack("<f", struct.pack("<f", 0.70710678))[0]


def splitmix64(seed: int) -> Iterable[int]:
    """The words of the generator from a seed."""
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & _MASK
        z = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
        yield z ^ (z >> 31)


def packed(bits: Sequence[int]) -> bytes:
    """Bits in bytes, from the low one on."""
    whole = sum(bit << i for i, bit in enumerate(bits))
    return whole.to_bytes((len(bits) + 7) // 8, "little")


def int64(data: bytes) -> list[int]:
    """The whole numbers that bytes are."""
    return list(struct.unpack(f"<{len(data) // 8}q", data))


def of_int64(values: Sequence[int]) -> bytes:
    """The bytes of whole numbers."""
    return struct.pack(f"<{len(values)}q", *values)


def sifting(case: Case, given: Callable[[str], bytes]) -> Results:
    """Bits by basis where both bases are equal; codes, and their bits, in and out of places."""
    codes = given(case["codes"])
    if case["function"] == "subset":
        # Each place is one further than the list says, once more for each before it: they rise.
        places = [at + i for i, at in enumerate(int64(given(case["places"])))]
        inside = all(at < len(codes) for at in places)
        taken = [codes[at] for at in places] if inside else []
        left = [code for at, code in enumerate(codes) if at not in places] if inside else []
        return {
            "inside": int(inside),
            "taken": bytes(taken),
            "kept_bits": packed([code & 1 for code in taken]),
            "left_bits": packed([code & 1 for code in left]),
        }
    peer = given(case["peer"])
    kept: tuple[list[int], list[int]] = ([], [])
    for i, code in enumerate(codes):
        basis = code >> 1 & 1
        if basis == peer[i // 8] >> i % 8 & 1:
            kept[basis].append(code & 1)
    return {
        "several": sum(code >> 2 & 1 for code in codes),
        "bases": packed([code >> 1 & 1 for code in codes]),
        "z": packed(kept[0]),
        "x": packed(kept[1]),
    }


def merge(case: Case, given: Callable[[str], bytes]) -> Results:
    """Of the next words of all channels the least, and of equal ones the first, until one is
    refused."""
    waiting = [
        list(struct.unpack(f"<{len(data) // 8}Q", data)) for data in map(given, _words(case))
    ]
    largest = [0] * len(waiting)
    times, channels, refused = [], [], 0
    while any(waiting):
        word, c = min((words[0], c) for c, words in enumerate(waiting) if words)
        if word >= case["limit_ps"]:
            refused = 1 + next(c for c, words in enumerate(waiting) if words)
            break
        if largest[c] - word > case["reorder_ps"]:
            refused = 1 + c
            break
        largest[c] = max(largest[c], waiting[c].pop(0))
        times.append(word + case["offset_ps"])
        channels.append(1 + c)
    return {
        "tags": len(times),
        "refused": refused,
        "times": of_int64(times),
        "channels": bytes(channels),
    }


def _words(case: Case) -> list[str]:
    return [case[f"words_{channel}"] for channel in (1, 2, 3, 4)]


def slots(case: Case, given: Callable[[str], bytes]) -> Results:
    """A grid of pulses, and a loop of second order after every interval tags.

    Everything is in 2^-32 ps, residuals in 2^-16 ps.
    """
    times, channels = int64(given(case["times"])), given(case["channels"])
    slot, centre, period = 0, case["first_ps"] << 32, case["period"]
    least, most = period - (period >> 10), period + (period >> 10)
    found, kept, within = [], [], []
    for count, (time, channel) in enumerate(zip(times, channels, strict=True), 1):
        steps, rest = divmod((time << 32) - centre + period // 2, period)
        residual = rest - period // 2
        if abs(residual) <= case["gate_ps"] << 32:
            found.append(slot + steps)
            kept.append(channel)
            within.append(residual >> 16)
        if count % case["interval"] == 0:
            slot, centre = slot + steps, (time << 32) - residual
            if within:
                error = _towards_zero(sum(within), len(within))
                centre += error * case["phase_gain"] << 8
                if steps > 0:
                    period += _towards_zero(error * case["period_gain"] << 8, steps)
                    period = min(max(period, least), most)
            within = []
    return {
        "accepted": len(found),
        "repeated": sum(a == b for a, b in pairwise(found)),
        "slots": of_int64(found),
        "slot_channels": bytes(kept),
        "period_at_end": period,
    }


def _towards_zero(a: int, b: int) -> int:
    return a // b if a >= 0 else -(-a // b)


def search(case: Case, given: Callable[[str], bytes]) -> Results:
    """Bins, a clock's straight line, pairs by time and lag, a correlation, sums along lines."""
    match case["function"]:
        case "bins":
            bins = [0] * case["bin_count"]
            for time in int64(given(case["times"])):
                at = (time - case["origin_ps"]) >> case["bin_log2_ps"]
                if 0 <= at < len(bins):
                    bins[at] = min(bins[at] + 1, 255)
            return {"bins": bytes(bins)}
        case "map":
            return {"mapped": of_int64([_mapped(t, case) for t in int64(given(case["times"]))])}
        case "plane":
            return {"plane": _plane(case, int64(given(case["a"])), int64(given(case["b"])))}
        case "correlate":
            a, b = ([byte % 8 for byte in given(case[name])] for name in "ab")
            sums = [
                sum(x * y for x, y in zip(a, b[lag:], strict=False)) for lag in range(case["lags"])
            ]
            return {"sums": of_int64(sums)}
        case _:
            return _lines(case, given)


def _mapped(time: int, case: Case) -> int:
    drift = ((time - case["origin_ps"]) * case["rate_q64"] + (1 << 63)) >> 64
    return int(time + case["offset_ps"] + drift)


def _plane(case: Case, a: list[int], b: list[int]) -> bytes:
    rows, columns = case["rows"], case["columns"]
    counts = [0] * (rows * columns)
    for time in a:
        row, into = divmod(time - case["first_ps"], case["row_ps"])
        if not 0 <= row < rows or into >= case["used_ps"]:
            continue
        low = _mapped(time, case) + case["low_ps"]
        for other in b:
            column = (other - low) >> case["shift"]
            if 0 <= column < columns:
                counts[row * columns + column] += 1
    return struct.pack(f"<{len(counts)}I", *counts)


def _lines(case: Case, given: Callable[[str], bytes]) -> Results:
    rows, columns, group = case["rows"], case["columns"], case["group"]
    groups = -(-rows // group)
    base, fine = given(case["base"]), given(case["fine"])
    slope = [s % (len(fine) // group) for s in given(case["slope"])]
    plane = given(case["plane"])
    stride = len(plane) // rows
    best, drift = [], []
    for c in range(columns):
        values = []
        for d, s in enumerate(slope):
            v = [0, 0]
            for r in range(rows):
                at = r * stride + c + base[d * groups + r // group] % 16
                at += fine[s * group + r % group] % 8
                v[0] += plane[at]
                v[1] += plane[at + 1]
            # As a product of float32: in double first, which is exact here, and then rounded.
            both = struct.unpack("<f", struct.pack("<f", (v[0] + v[1]) * ROOT_HALF))[0]
            values.append(max(both, float(v[0])))
        best.append(max(values))
        drift.append(values.index(best[-1]))
    return {
        "best": struct.pack(f"<{columns}f", *best),
        "drift": struct.pack(f"<{columns}i", *drift),
    }


def ldpc(case: Case, given: Callable[[str], bytes]) -> Results:
    """A random quasi-cyclic code's syndrome, and its decoding by layers with the A-min* rule."""
    rows, columns, size = case["rows"], case["columns"], case["size"]
    words = iter(splitmix64(case["seed"]))
    circulants = []
    for row in range(rows):
        draws = [(column, next(words)) for column in range(columns)]
        circulants.append([(c, (w >> 32) % size) for c, w in draws if w % 8 < 3 or c % rows == row])
    truth, noisy = [], []
    for i in range(columns * size):
        word, there = next(words), i < case["count"]
        truth.append(word & there)
        noisy.append(truth[-1] ^ (there and (word >> 32) % case["errors_one_in"] == 0))
    checks = [
        [column * size + (k + shift) % size for column, shift in circulants[row]]
        for row in range(rows)
        for k in range(size)
    ]
    syndrome = [sum(truth[i] for i in check) % 2 for check in checks]
    done, found = _decoded(case, checks, syndrome, noisy)
    return {"syndrome": packed(syndrome), "done": done, "found": packed(found[: case["count"]])}


def _decoded(
    case: Case, checks: list[list[int]], syndrome: list[int], noisy: list[int]
) -> tuple[int, list[int]]:
    """Iterations + 1 and the string, or 0 and what was given."""
    certain = 1 << 14
    posterior = [
        (case["reliability"] if i < case["count"] else certain) * (1 - 2 * bit)
        for i, bit in enumerate(noisy)
    ]
    told = [[0] * len(check) for check in checks]
    for done in range(case["iterations"] + 1):
        string = [int(value < 0) for value in posterior]
        if all(sum(string[i] for i in c) % 2 == s for c, s in zip(checks, syndrome, strict=True)):
            return done + 1, string
        if done == case["iterations"]:
            break
        for check, odd, messages in zip(checks, syndrome, told, strict=True):
            others = [posterior[i] - m for i, m in zip(check, messages, strict=True)]
            sizes = [min(abs(other), 127 + (other < 0)) for other in others]
            least, place, rest = 127, -1, 127
            for at, value in enumerate(sizes):
                rest = _box_plus(rest, max(value, least))
                if value < least:
                    least, place = value, at
            together, minus = _box_plus(rest, least), odd ^ sum(o < 0 for o in others) % 2
            for at, i in enumerate(check):
                message = rest if at == place else together
                messages[at] = -message if minus ^ (others[at] < 0) else message
                posterior[i] = others[at] + messages[at]
    return 0, noisy


def _box_plus(a: int, b: int) -> int:
    """log((1 + e^(a + b)) / (e^a + e^b)) in sixths, as rounded in two terms."""
    return max(min(a, b) + _CORRECTION.get(a + b, 0) - _CORRECTION.get(abs(a - b), 0), 0)


_CORRECTION = {x: round(6 * log(1 + 2.718281828459045 ** (-x / 6))) for x in range(16)}
DEFINED: dict[str, Callable[[Case, Callable[[str], bytes]], Results]] = {
    "ldpc": ldpc,
    "merge": merge,
    "search": search,
    "sifting": sifting,
    "slots": slots,
}
"""By family of vectors."""
