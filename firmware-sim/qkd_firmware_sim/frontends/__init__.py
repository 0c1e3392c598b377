"""The wires of simulated instruments: pseudo-terminals, TCP sockets, HiSLIP and ZeroMQ."""
