"""Tag streams: bounded, ordered, with loss accounting."""
