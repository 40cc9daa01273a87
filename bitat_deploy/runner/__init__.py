"""Sources of the device library and of the runner, the program that measures a network with it."""
