"""The message that tells of a matched slice: made at one end, read at the other."""

import numpy as np
import numpy.typing as npt

from qkd_controller.acquisition.end import refuse
from qkd_controller.acquisition.slices import SliceId, SliceRecord
from qkd_controller.link.acquisition_messages import SliceMatched
from qkd_native import deltas

Indices = npt.NDArray[np.int64]


class MatchedEvents:
    """Codes the announced events that matched, and back, in memory that it keeps."""

    def __init__(self) -> None:
        self._indices: Indices = np.empty(0, np.int64)
        self._bytes: npt.NDArray[np.uint8] = np.empty(0, np.uint8)

    def message(self, record: SliceRecord, indices: Indices) -> SliceMatched:
        """What the reference end says: the record, and the announced events that matched."""
        room = deltas.room(len(indices))
        if len(self._bytes) < room:
            self._bytes = np.empty(room + room // 4, np.uint8)
        return SliceMatched(
            *record.slice,
            record.announced_epoch,
            record.mode,
            record.coincidences,
            deltas.encode(indices, scratch=self._bytes),
            record.reference_events,
            record.announced_events,
            record.accidentals,
            record.residual_rms_ps,
            record.offset_ps,
            record.drift_ppm,
        )

    def indices(self, message: SliceMatched, most: int) -> Indices:
        """The announced events that matched, rising, as a view good until the next message.

        Raises ProtocolError for more than most, or for bytes that say none or one of them twice.
        """
        if message.count > most:
            raise refuse(f"{message.count} events in a slice, more than this end could hold")
        try:
            deltas.check_count(message.indices, message.count)
            if len(self._indices) < message.count:
                self._indices = np.empty(message.count + message.count // 4, np.int64)
            indices = self._indices[: message.count]
            deltas.decode(message.indices, message.count, out=indices)
        except ValueError as error:
            raise refuse(str(error)) from None
        if np.any(indices[1:] <= indices[:-1]):
            raise refuse("an event matches twice in a slice")
        return indices


def matched_record(message: SliceMatched) -> SliceRecord:
    """The record that the message holds."""
    return SliceRecord(
        SliceId(message.epoch, message.index),
        message.peer_epoch,
        message.mode,
        message.reference_events,
        message.announced_events,
        message.count,
        message.accidentals,
        message.residual_rms_ps,
        message.offset_ps,
        message.drift_ppm,
    )
