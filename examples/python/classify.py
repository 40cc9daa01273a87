"""A program of your own that runs a network on the device: classify.py BUNDLE FRAMES WIDTH HEIGHT.

Needs Python 3.7 and its standard library, nothing else: the bundle has a module, bitat_device, on
its native library. Copy both to the device, and run it:

    scp -r path/to/bundle frames examples/python/classify.py pi@device:
    ssh pi@device python3 classify.py bundle frames 640 480

FRAMES holds RGB pictures of that size, one after the other, each of them row by row; the network
gets them cropped and resized as the bundle says. Prints a line for each: the likeliest class, then
the logits of all classes.
"""

import sys
from pathlib import Path


def main(bundle, frames, width, height):
    """Classify the pictures in the file ``frames``."""
    sys.path.insert(0, bundle)
    from bitat_device import Network

    size = width * height * 3
    content = Path(frames).read_bytes()
    if len(content) % size != 0:
        sys.exit(f"error: '{frames}' ends in the middle of a frame of {width}x{height}")
    with Network(bundle) as network:
        for start in range(0, len(content), size):
            frame = content[start : start + size]
            logits = network.logits(frame, width=width, height=height)
            print(f"{network.class_names[logits.index(max(logits))]}:", *logits)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit("usage: classify.py BUNDLE FRAMES WIDTH HEIGHT")
    try:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    except Exception as problem:  # of the library, the system or the arguments
        sys.exit(f"error: {problem}")
