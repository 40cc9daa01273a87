"""What ``bitat-deploy sdk`` writes besides headers and libraries: CMake's files and the example."""
