"""How keys leave the node: ETSI GS QKD 014."""
