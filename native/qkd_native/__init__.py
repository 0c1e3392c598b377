"""C kernels behind thin NumPy-facing modules, one a kernel family."""
