"""C++ sources of the device library that run a network in TVM's Relax virtual machine."""
