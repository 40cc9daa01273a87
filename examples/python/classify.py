"""A program of your own that runs a network on the device: classify.py BUNDLE IMAGES.

Needs Python 3.7 and its standard library, nothing else: it runs the bundle's native runner, which
reads images from a file and writes their logits to another. Copy both to the device, and run it:

    scp -r path/to/bundle images examples/python/classify.py pi@device:
    ssh pi@device python3 classify.py bundle images

IMAGES holds uint8 images, one after the other, each of them row by row, as the network takes them.
Prints a line for each: the likeliest class, then the logits of all classes.

Each call of ``logits`` starts a process, which loads the network again: give it many images at
once. Where that is too slow, see examples/cpp.
"""

import array
import json
import subprocess
import sys
import tempfile
from pathlib import Path


class Network:
    """The network of a bundle."""

    def __init__(self, bundle):
        self._bundle = Path(bundle)
        model = json.loads((self._bundle / "manifest.json").read_text())["model"]
        self._shape = model["input_shape"]
        self._batch = model.get("batch", 1)
        self._class_names = model["class_names"]

    def logits(self, images):
        """The logits, a list of floats for each of ``images``: bytes, one image after the other."""
        with tempfile.TemporaryDirectory() as folder:
            source, result = Path(folder, "images"), Path(folder, "logits")
            source.write_bytes(images)
            options = {
                "--model": self._bundle / "model.so",
                "--shape": "x".join(map(str, self._shape)),
                "--batch": self._batch,
                "--images": source,
                "--logits": result,
                # The runner measures first, which is not needed here.
                "--warmup": 0,
                "--min-runs": 1,
                "--min-seconds": 0,
            }
            command = [str(self._bundle.resolve() / "runner")]
            command += [str(part) for option in options.items() for part in option]
            finished = subprocess.run(command, capture_output=True, text=True)
            if finished.returncode != 0:
                ended = f"the runner ended with exit code {finished.returncode}"
                raise RuntimeError((finished.stderr.strip().splitlines() or [ended])[-1])
            classes = json.loads(finished.stdout)["classes"]
            values = array.array("f", result.read_bytes()).tolist()
            return [values[i : i + classes] for i in range(0, len(values), classes)]

    def class_name(self, logits):
        """The name of the likeliest class; its number where the network's classes have none."""
        best = logits.index(max(logits))
        return self._class_names[best] if self._class_names else f"class {best}"


def main(bundle, images):
    """Classify the images in the file ``images``."""
    network = Network(bundle)
    for row in network.logits(Path(images).read_bytes()):
        print(f"{network.class_name(row)}:", *row)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: classify.py BUNDLE IMAGES")
    try:
        main(*sys.argv[1:])
    except (OSError, RuntimeError) as problem:
        sys.exit(f"error: {problem}")
