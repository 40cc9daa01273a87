"""Source of the native program that runs a network on the device."""
