"""The two-party protocol: transport, typed messages, authentication, release."""
