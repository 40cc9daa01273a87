"""CIFAR's python format: pickled dictionaries, read without executing anything they name.

A pickle may call any function on loading, so only what builds a numpy array is admitted (see
https://docs.python.org/3/library/pickle.html#restricting-globals). It may also ask for memory that
it does not fill: by the number of a place in its memo, so those are checked before.
"""

import io
import pickle
import pickletools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.errors import InputError
from bitat_deploy.plain_text import foreign_text


def _encoded(text: str, _encoding: str = "latin1") -> bytes:
    """Stands for codecs.encode, as which Python 3 writes bytes for Python 2."""
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    return b""


_reconstruct = np.zeros(0).__reduce__()[0]
_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encoded,
    ("__builtin__", "bytes"): _empty_bytes,  # as which Python 3 writes empty bytes
}


_PUTS = ("PUT", "BINPUT", "LONG_BINPUT")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no data set needs")
        return _ADMITTED[module, name]


def _check_memo(content: bytes) -> None:
    """Raise UnpicklingError where an object is kept at a place that no pickler has reached yet."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content), 1):
        if opcode.name in _PUTS and (argument is None or argument > count):
            raise pickle.UnpicklingError("it keeps an object where no pickler does")


def read_python_file(content: bytes, shown: str) -> dict[str, Any]:
    """The dictionary of one file, its keys as text.

    ``shown`` names the file in messages. Raises InputError for a damaged or foreign file.
    """
    try:
        _check_memo(content)
        document = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    # A damaged pickle fails in any of its many instructions.
    except Exception as error:
        says_why = isinstance(error, pickle.UnpicklingError)
        reason = foreign_text(str(error)) if says_why else "is it damaged?"
        raise InputError(
            f"{shown} cannot be read as a file of CIFAR's python format: {reason}"
        ) from error
    if not isinstance(document, dict):
        raise InputError(f"{shown} is not of CIFAR's python format: it holds no dictionary")
    return {
        key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key): value
        for key, value in document.items()
    }


def python_images(
    content: bytes, shown: str, labels_key: str
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images uint8 [N, 3, 32, 32] and labels int64 [N] of one batch file. Raises InputError."""
    document = read_python_file(content, shown)
    if "data" not in document or labels_key not in document:
        raise InputError(f"{shown} has no entries 'data' and '{labels_key}'; another data set?")
    data, labels = document["data"], document[labels_key]
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (3072,):
        raise InputError(f"{shown} holds no array of images of 3,072 bytes")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise InputError(f"{shown} holds no list of labels")
    if len(data) != len(labels):
        raise InputError(f"{shown} is damaged: {len(data)} images but {len(labels)} labels")
    return data.reshape(-1, 3, 32, 32), np.array(labels, np.int64)
