"""Finite-key bounds and the leakage ledger."""
