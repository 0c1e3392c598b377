"""The stages from tags to key: pure functions, and one thin driver that moves their messages."""
