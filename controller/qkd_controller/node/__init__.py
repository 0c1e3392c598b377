"""One end of a link wired together from its configuration; the only room that knows all others."""
