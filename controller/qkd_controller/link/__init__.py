"""The two-party protocol: from a TCP connection to blocks released at both ends.

From the wire up: `framing` and `codec` (bytes to numbered messages), `tls` and `tls_pipe`,
`handshake` and `terms` (who speaks, under which link file, with which pairing secret),
`authentication` (transcripts and tags), `resumption` and `release` (what is durable, and who
decides), `session` (all of these over one connection), and `connection` (one session after
another, from `listener` or from the connecting end). All but the last two are free of sockets.

What may be relied on:

* A message about a block travels through its `channel`, which enters it in the block's ledger.
* No block is released at either end before both ends have verified tags on every message that
  either sent about it, and on the whole session up to then.
* Pad is spent durably before a tag leaves, and no pad byte ever masks two tags.
* The follower prepares before the leader releases; after a crash the leader's record decides.
"""
