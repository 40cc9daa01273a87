"""C++ sources of the device library that run a network which is linked into the program."""
