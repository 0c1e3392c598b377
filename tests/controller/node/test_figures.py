"""What a link end counts stays small, however long it runs."""

from qkd_controller.acquisition.announcing import AnnouncingEnd
from qkd_controller.config.link import Timing
from qkd_controller.node.figures import MOST_CAUSES, OTHER_CAUSES, Figures


def test_every_discarded_block_is_counted_and_few_causes_are_told_apart() -> None:
    figures = Figures(AnnouncingEnd(Timing()), 100)
    for bits in range(3 * MOST_CAUSES):
        figures.discarded_block(f"too few sifted: {bits} bits")
    figures.discarded_block("too few sifted: 0 bits")
    assert len(figures.discarded) == MOST_CAUSES + 1
    assert figures.discarded["too few sifted: 0 bits"] == 2
    assert figures.discarded[OTHER_CAUSES] == 2 * MOST_CAUSES
    assert figures.last_discard == "too few sifted: 0 bits"
