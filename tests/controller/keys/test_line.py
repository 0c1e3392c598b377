"""A line gives each byte once, wherever it is taken, and knows what is left."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qkd_controller.keys.errors import InsufficientKey, KeyNotFound, PadReused
from qkd_controller.keys.link_store import SqliteLinkStore

ACTS = st.lists(
    st.tuples(
        st.sampled_from(["append", "take", "next", "skip"]),
        st.integers(0, 3000),
        st.integers(1, 1500),
    ),
    max_size=12,
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(acts=ACTS)
def test_a_line_is_its_model(alice: SqliteLinkStore, acts: list[tuple[str, int, int]]) -> None:
    class Undo(Exception):
        pass

    try:
        with alice.line("half0") as line:
            model: list[int | None] = []
            cursor = 0
            for act, place, length in acts:
                if act == "append":
                    data = bytes((place + 7 * i + i // 251) % 256 for i in range(length))
                    line.append(memoryview(data))
                    model += data
                elif act == "take":
                    wanted = model[place : place + length]
                    try:
                        assert line.take(place, length) == bytes(wanted)  # type: ignore[arg-type]
                        model[place : place + length] = [None] * length
                    except KeyNotFound:
                        assert len(wanted) < length or None in wanted
                elif act == "skip":
                    try:
                        line.skip_to(place)
                        model[cursor:place] = [None] * (place - cursor)
                        cursor = place
                    except PadReused:
                        assert place < cursor
                    except InsufficientKey:
                        assert place > len(model)
                elif None not in model[cursor : cursor + length]:
                    # Lines that are spent in order have no holes after their cursor.
                    try:
                        at, taken = line.take_next(length)
                        assert (at, taken) == (cursor, bytes(model[at : at + length]))  # type: ignore[arg-type]
                        model[at : at + length] = [None] * length
                        cursor += length
                    except InsufficientKey:
                        assert cursor + length > len(model)
                assert line.remaining_bytes() == sum(byte is not None for byte in model)
                assert (line.cursor, line.end) == (cursor, len(model))
            raise Undo
    except Undo:
        pass
