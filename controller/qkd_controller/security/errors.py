"""What makes a block unfit for release."""

from qkd_controller.config.errors import QkdError


class SecurityError(QkdError):
    """The accounts of a block do not allow its release."""


class ToleranceExceeded(SecurityError):
    """More errors or more leakage than the link file tolerates."""


class AccountsDisagree(SecurityError):
    """Figures that must be equal, or in order, are not: a fault of the software or of the peer."""
