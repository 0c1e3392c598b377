"""The durable key buffer: pools of released bits, the authentication pad, block states."""
