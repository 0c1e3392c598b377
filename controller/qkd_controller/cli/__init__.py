"""The command qkd."""
