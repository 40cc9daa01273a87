"""C and C++ sources of the device library: what every runtime shares."""
