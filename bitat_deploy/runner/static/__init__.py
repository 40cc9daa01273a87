"""C++ sources that a static runner has in place of TVM's virtual machine."""
