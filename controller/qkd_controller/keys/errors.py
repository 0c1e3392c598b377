"""What can go wrong with stored keys."""

from qkd_controller.config.errors import QkdError


class StoreError(QkdError):
    """The key store cannot do this: full disk, damaged file, wrong state."""


class PairingError(StoreError):
    """A pairing secret that is missing, damaged, foreign, or was imported before."""


class StoreFull(StoreError):
    """No space is left; nothing was changed, and all goes on once there is space again."""


class PadExhausted(StoreError):
    """No authentication pad is left; the link must stop until it is paired anew."""


class PadReused(StoreError):
    """A pad position was asked for a second time; it is refused."""


class InsufficientKey(StoreError):
    """The pool holds too few bits for this request."""


class KeyNotFound(StoreError):
    """No such key in this pool, or it was delivered already."""


class KeyOfOthers(StoreError):
    """The key ID is good, but was made for another pair of applications."""
