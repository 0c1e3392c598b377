"""Constructs the base matrices of ``qkd_native.ldpc``: python native/codes/construct.py

Writes ``native/qkd_native/ldpc_codes.npz``. Everything follows from the numbers below.

The degrees are the outcome of a search by density evolution for the least product of iterations and
edges on the binary symmetric channel at 10 % above the Shannon limit, with at most one column of
degree two for every row; ``density_evolution.py`` says how far from the limit they begin to work.
Circulants are placed one column after another in the rows that have the fewest yet, so that a
matrix cut after any column is as regular as the whole: progressive edge growth (Hu, Eleftheriou and
Arnold, IEEE Trans. Inf. Theory 51, 386 (2005)) of the least depth. Shifts are drawn such that, as
far as can be, no two columns meet twice (no cycles of length four) in circulants of 256 or 512.
"""

from itertools import combinations
from pathlib import Path

import numpy as np

COLUMNS = 512
SIZE = 512
APART = 256
"""Cycles of length four are kept away modulo this divisor of SIZE."""

DEGREES: dict[int, dict[int, float]] = {
    36: {2: 0.075, 3: 0.542, 8: 0.252, 22: 0.131},
    41: {2: 0.085, 3: 0.540, 8: 0.247, 22: 0.128},
    46: {2: 0.096, 3: 0.538, 8: 0.240, 22: 0.126},
    52: {2: 0.108, 3: 0.537, 8: 0.232, 22: 0.123},
    66: {2: 0.131, 3: 0.530, 8: 0.220, 22: 0.119},
    84: {2: 0.158, 3: 0.532, 7: 0.158, 18: 0.152},
    107: {2: 0.186, 3: 0.527, 7: 0.151, 18: 0.136},
    136: {2: 0.191, 3: 0.568, 8: 0.130, 18: 0.111},
    173: {2: 0.220, 3: 0.585, 9: 0.085, 15: 0.110},
    219: {2: 0.227, 3: 0.617, 7: 0.017, 14: 0.139},
    279: {2: 0.270, 3: 0.610, 12: 0.120},
}
"""Shares of the columns of each degree, for matrices of so many rows and up."""

ROWS = (36, 41, 46, 52, 59, 66, 75, 84, 95, 107, 121, 136, 154, 173, 195, 219, 247, 279)


def degrees(rows: int) -> list[int]:
    """Each column's degree; every run of columns holds them in their shares."""
    shares = DEGREES[max(known for known in DEGREES if known <= rows)]
    owed = dict.fromkeys(shares, 0.0)
    order = []
    for _ in range(COLUMNS):
        for degree, share in shares.items():
            owed[degree] += share
        order.append(max(owed, key=lambda degree: owed[degree]))
        owed[order[-1]] -= 1
    return order


def base_matrix(rows: int) -> list[tuple[int, int, int]]:
    """Row, column and shift of every circulant."""
    draw = np.random.default_rng((20261122, rows))
    weight = np.zeros(rows)
    island = np.arange(rows)
    """Rows that columns of degree two join: a cycle of those alone would be a light codeword."""
    met: dict[tuple[int, int], list[int]] = {}
    matrix = []
    for column, degree in enumerate(degrees(rows)):
        mine: list[tuple[int, int]] = []
        for _ in range(degree):
            cost = weight + draw.random(rows) / 2
            cost[[row for row, _ in mine]] = np.inf
            if degree == 2 and mine and len(set(island)) > 1:
                cost[island == island[mine[0][0]]] += rows * COLUMNS
            row = int(np.argmin(cost))
            cycles = np.zeros(APART, int)
            for other, shift in mine:
                for apart in met.get((other, row), ()):
                    cycles[(shift + apart) % APART] += 1
            fewest = np.flatnonzero(cycles == cycles.min())
            shift = int(draw.choice(fewest)) + APART * int(draw.integers(SIZE // APART))
            mine.append((row, shift))
            weight[row] += 1
        for (one, first), (two, second) in combinations(mine, 2):
            met.setdefault((one, two), []).append((second - first) % APART)
            met.setdefault((two, one), []).append((first - second) % APART)
        if degree == 2:
            island[island == island[mine[1][0]]] = island[mine[0][0]]
        matrix += [(row, column, shift) for row, shift in mine]
    return matrix


def main() -> None:
    """Writes uint16[circulants, 3] for each number of rows, under that number."""
    matrices = {str(rows): np.array(base_matrix(rows), np.uint16) for rows in ROWS}
    target = Path(__file__).parents[1] / "qkd_native" / "ldpc_codes.npz"
    np.savez_compressed(target, **matrices)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
