"""Finite-key bounds and the leakage ledger.

Interactive reconciliation says more than the answered parities: the corrector's questions show
where its string differs from the reference, so the error pattern becomes public. Tupkary and
Lütkenhaus, "Using Cascade in quantum key distribution", Phys. Rev. Applied 20, 064040 (2023), show
that counting parities alone is wrong in general; that it is right to count the reference's parities
once the adversary is given the error pattern as well; and that for qubit BB84 this leaves the key
rate as it was. The accounts kept here rest on that: answered parities are leaked, questions are
free. That it carries over to the finite-key bound of ``bounds`` is an assumption, to be named
wherever the security of a key is stated.
"""
