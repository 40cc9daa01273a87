"""Compile classify.cc for the device that a bundle was built for: build.py BUNDLE FOLDER.

FOLDER then holds all that the device needs: the program, the network, the libraries and the
licences of what is in them. Copy it there, and run it:

    python examples/cpp/build.py path/to/bundle app
    scp -r app images pi@device:
    ssh pi@device app/classify images
"""

import sys
from pathlib import Path

from bitat_deploy.bundle import build_program, read_bundle
from bitat_deploy.errors import BitatDeployError

if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: build.py BUNDLE FOLDER")
    try:
        source = Path(__file__).with_name("classify.cc")
        build_program([source], read_bundle(Path(sys.argv[1])), Path(sys.argv[2], "classify"))
    except BitatDeployError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
