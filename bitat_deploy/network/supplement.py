"""What a user says of a network that its file does not say."""

from dataclasses import dataclass

from bitat_deploy.network.preprocessing import Preprocessing


@dataclass(frozen=True)
class Supplement:
    """Facts that are recorded with the network when it is read.

    ``preprocessing`` and ``input_shape`` are for files that bitat-deploy did not write: what is
    done to a picture (None: pixel / 255), and height and width, or these and the channels, where
    the file leaves them open. ``class_names``, in the order of the logits, replace those of any
    file.
    """

    preprocessing: Preprocessing | None = None
    input_shape: tuple[int, ...] | None = None
    class_names: tuple[str, ...] = ()


NOTHING = Supplement()
