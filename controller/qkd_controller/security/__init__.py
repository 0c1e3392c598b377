"""Finite-key bounds and the leakage ledger.

Interactive reconciliation tells the world more than the answered parities: the corrector's
questions show where its string differs from the reference, so the error pattern is public. The
accounting relied on, answered parities of the reference's string and nothing for the questions, is
that of Tupkary and Lütkenhaus, "Using Cascade in quantum key distribution", Phys. Rev. Applied 20,
064040 (2023), with the error pattern counted as known to the adversary.
"""
