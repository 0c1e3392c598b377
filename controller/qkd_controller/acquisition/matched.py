"""The message that tells of a matched slice: made at one end, read at the other."""

import numpy as np
import numpy.typing as npt

from qkd_controller.acquisition.end import refuse
from qkd_controller.acquisition.slices import SliceId, SliceRecord
from qkd_controller.link.acquisition_messages import SliceMatched
from qkd_native import deltas

Indices = npt.NDArray[np.int64]


def matched_message(record: SliceRecord, indices: Indices) -> SliceMatched:
    """What the reference end says: the record, and the announced events that matched."""
    return SliceMatched(
        *record.slice,
        record.announced_epoch,
        record.mode,
        record.coincidences,
        deltas.encode(indices),
        record.reference_events,
        record.announced_events,
        record.accidentals,
        record.residual_rms_ps,
        record.offset_ps,
        record.drift_ppm,
    )


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


def matched_indices(message: SliceMatched, most: int) -> Indices:
    """The announced events that matched, rising.

    Raises ProtocolError for more than most, or for bytes that say none or one of them twice.
    """
    if message.count > most:
        raise refuse(f"{message.count} events in a slice, more than this end could hold")
    try:
        indices = deltas.decode(message.indices, message.count)
    except ValueError as error:
        raise refuse(str(error)) from None
    if np.any(np.diff(indices) <= 0):
        raise refuse("an event matches twice in a slice")
    return indices
