"""The software that runs one end of a quantum key distribution link."""
