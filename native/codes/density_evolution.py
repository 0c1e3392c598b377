"""How near the Shannon limit belief propagation works: python native/codes/density_evolution.py

Discretised density evolution (Chung, Forney, Richardson and Urbanke, IEEE Commun. Lett. 5, 58
(2001)) on the binary symmetric channel, for each set of degrees in ``construct.py``: prints the
least f = leaked / h(QBER) at which errors die out without end, and how many iterations of the
flooding schedule leave one error in 10^5 at f = 1.10 and 1.14.
"""

from functools import reduce

import numpy as np
from construct import COLUMNS, DEGREES
from numpy.typing import NDArray

STEP = 0.2
"""Nats between two levels of the log-likelihood ratio."""
LEVELS = 120

Density = NDArray[np.float64]


def box_plus_levels() -> NDArray[np.intp]:
    """The level of box-plus(i, j) at [i, j]."""
    tanh = np.tanh(np.arange(LEVELS + 1) * STEP / 2)
    product = np.minimum(np.outer(tanh, tanh), 1 - 1e-13)
    exact = 2 * np.arctanh(product) / STEP
    least = np.minimum.outer(np.arange(LEVELS + 1), np.arange(LEVELS + 1))
    return np.minimum(np.rint(exact), least).astype(np.intp).reshape(-1)


BOX_PLUS = box_plus_levels()


def at_check(one: Density, other: Density) -> Density:
    """Density of the box-plus; rows: sum and difference of the two signs, by magnitude."""
    return np.stack(
        [
            np.bincount(BOX_PLUS, np.outer(a, b).reshape(-1), LEVELS + 1)
            for a, b in zip(one, other, strict=True)
        ]
    )


def at_bit(one: Density, other: Density) -> Density:
    """Density of the sum, from -LEVELS to LEVELS, where it saturates."""
    total = np.convolve(one, other)
    total[LEVELS] += total[:LEVELS].sum()
    total[3 * LEVELS] += total[3 * LEVELS + 1 :].sum()
    return total[LEVELS : 3 * LEVELS + 1]


def iterations(error_rate: float, leak: float, shares: dict[int, float], most: int) -> int | None:
    """Flooding iterations until one message in 10^5 is wrong, or None."""
    mean = sum(degree * share for degree, share in shares.items())
    weight = mean / leak
    heavier = (weight % 1) * (int(weight) + 1) / weight
    level, part = divmod(np.log(1 / error_rate - 1) / STEP, 1)
    channel = np.zeros(2 * LEVELS + 1)
    for sign, chance in ((1, 1 - error_rate), (-1, error_rate)):
        channel[LEVELS + sign * int(level)] += chance * (1 - part)
        channel[LEVELS + sign * (int(level) + 1)] += chance * part
    told = channel
    for done in range(1, most + 1):
        plus, minus = told[LEVELS:].copy(), told[LEVELS::-1].copy()
        minus[0] = 0
        heard = np.stack((plus + minus, plus - minus))
        light = _power(at_check, heard, int(weight) - 1)
        both, apart = (1 - heavier) * light + heavier * at_check(light, heard)
        answer = np.concatenate((((both - apart) / 2)[:0:-1], (both + apart) / 2))
        answer[LEVELS] = both[0]
        told = sum(
            degree * share / mean * at_bit(channel, _power(at_bit, answer, degree - 1))
            for degree, share in shares.items()
        )
        told /= told.sum()
        if told[:LEVELS].sum() + told[LEVELS] / 2 < 1e-5:
            return done
    return None


def _power(join, density: Density, count: int) -> Density:  # type: ignore[no-untyped-def]
    squares = [density]
    while 2 ** len(squares) <= count:
        squares.append(join(squares[-1], squares[-1]))
    return reduce(join, [square for bit, square in enumerate(squares) if count >> bit & 1])


def entropy(error_rate: float) -> float:
    """h, in bits."""
    return float(-error_rate * np.log2(error_rate) - (1 - error_rate) * np.log2(1 - error_rate))


def error_rate_at(bits: float) -> float:
    """The inverse of h, below 1/2."""
    low, high = 1e-9, 0.5
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if entropy(middle) < bits else (low, middle)
    return low


def main() -> None:
    """A line for each set of degrees, at its least number of rows."""
    for rows, shares in DEGREES.items():
        leak = rows / COLUMNS / 0.94
        low, high = 1.0, 1.3
        while high - low > 0.004:
            middle = (low + high) / 2
            works = iterations(error_rate_at(leak / middle), leak, shares, 800) is not None
            low, high = (low, middle) if works else (middle, high)
        quick = [iterations(error_rate_at(leak / f), leak, shares, 800) for f in (1.10, 1.14)]
        print(f"{rows} rows, QBER {error_rate_at(leak / 1.1):.2%}: from f = {high:.3f} on; {quick}")


if __name__ == "__main__":
    main()
