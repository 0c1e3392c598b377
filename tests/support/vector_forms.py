"""How known-answer vectors write inputs and answers (native/vectors/README.md)."""

import numpy as np
from numpy.typing import NDArray


def splitmix64(seed: int, count: int) -> NDArray[np.uint64]:
    """The first words of the generator from a seed."""
    z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def given(text: str) -> bytes:
    """The bytes that an input stands for."""
    kind, _, rest = text.partition(":")
    if kind == "hex":
        return bytes.fromhex(rest)
    numbers = [int(number) for number in rest.split(":")]
    seed, count = numbers[:2]
    if kind == "times":
        steps = (splitmix64(seed, count) >> np.uint64(32)) % np.uint64(numbers[2])
        return np.cumsum(steps.astype(np.int64)).astype(np.int64).tobytes()
    return splitmix64(seed, -(-count // 8)).tobytes()[:count]


def answer(data: bytes | bytearray) -> str:
    """Bytes as an answer is written."""
    if len(data) <= 32:
        return "hex:" + data.hex()
    state = 0xCBF29CE484222325
    for byte in data:
        state = (state ^ byte) * 0x100000001B3 % 2**64
    return f"fnv:{state:016x}"


def int64s(text: str) -> NDArray[np.int64]:
    """An input as whole numbers."""
    return np.frombuffer(given(text), np.int64)


def flat_bytes(text: str) -> NDArray[np.uint8]:
    """An input as bytes."""
    return np.frombuffer(given(text), np.uint8)
