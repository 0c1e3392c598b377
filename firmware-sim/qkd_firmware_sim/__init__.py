"""A simulated optical table whose instruments speak their own bytes on their own wires."""
