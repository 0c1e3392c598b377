"""The wires of simulated instruments: pseudo-terminals, TCP sockets and HiSLIP."""
