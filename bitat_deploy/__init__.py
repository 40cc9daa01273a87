"""bitat-deploy: from a binarized MobileNet in PyTorch to a number measured on a Raspberry Pi."""

__version__ = "0.1.0"
