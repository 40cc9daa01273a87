"""C++ sources of the program that measures kernels on a device."""
