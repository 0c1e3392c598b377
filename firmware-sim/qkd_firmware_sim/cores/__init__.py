"""Instrument firmware as pure state machines on a virtual clock, one module a model."""
