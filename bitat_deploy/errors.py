"""The errors that users may see, each with its exit code.

A message is one or two sentences: what is wrong, where, and what to do about it. The command line
prints it without a traceback and exits with the class's ``exit_code``;
docs/command-line.md lists the codes.
"""

_LONGEST = 2000  # characters of a message: a screenful; only quotations are longer


class BitatDeployError(Exception):
    """Base of every error whose message is meant for the user."""

    exit_code = 1

    def __str__(self) -> str:
        """The message, with control characters from files and devices escaped."""
        message = "".join(
            character if character.isprintable() or character == "\n" else ascii(character)[1:-1]
            for character in super().__str__()
        )
        if len(message) <= _LONGEST:
            return message
        return f"{message[: _LONGEST // 2]} ... {message[-_LONGEST // 2 :]}"


class InputError(BitatDeployError):
    """A file or value given by the user is missing, damaged or contradictory."""

    exit_code = 3


class UnsupportedOperatorError(InputError):
    """The ONNX file contains an operator that cannot be compiled."""


class BundleError(BitatDeployError):
    """A bundle is incomplete, has another version, or was changed after it was built."""

    exit_code = 4


class BuildError(BitatDeployError):
    """A build step failed: a download, a checksum, the cross compiler."""

    exit_code = 5


class ConnectionFailedError(BitatDeployError):
    """The device cannot be reached, its host key is not trusted, or it refused the login."""

    exit_code = 6


class DeviceUnsuitableError(BitatDeployError):
    """The device is reached but cannot run the bundle: architecture, C library, disk space."""

    exit_code = 7


class RunFailedError(BitatDeployError):
    """The push or the run failed on the device: connection lost, crash, disk full."""

    exit_code = 8


class RegressionError(BitatDeployError):
    """A comparison found a change for the worse that exceeds the noise."""

    exit_code = 9


class WrongAnswerError(BitatDeployError):
    """A device's logits differ from the host's reference: a bug, or a faulty device."""

    exit_code = 10
