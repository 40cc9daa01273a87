"""A network to a bundle."""

from collections.abc import Sequence
from pathlib import Path

from bitat_deploy.api.class_names import checked_class_names
from bitat_deploy.api.networks import onnx_file
from bitat_deploy.bounded_process import DEFAULT_LIMITS, Limits
from bitat_deploy.bundle import Bundle, build_bundle, write_sdk
from bitat_deploy.network import Preprocessing, Supplement
from bitat_deploy.progress import Progress, silent
from bitat_deploy.target import Target, load_target
from bitat_deploy.zoo import DEFAULT_MODEL


def sdk(
    target: str | Path | Target = "host",
    output: str | Path = "sdk",
    progress: Progress = silent,
) -> tuple[Path, ...]:
    """Write the device library with its headers to the folder ``output``, for users' own programs.

    ``target`` is as for :func:`build`. Returns the files, relative to ``output``. Raises InputError
    where the folder contains something else, BuildError.
    """
    if not isinstance(target, Target):
        target = load_target(str(target))
    return write_sdk(target, Path(output), lambda message: progress(message, 0, 0))


def build(
    model: str | Path = DEFAULT_MODEL,
    target: str | Path | Target = "host",
    output: str | Path | None = None,
    *,
    batch: int = 1,
    use_cache: bool = True,
    preprocessing: Preprocessing | None = None,
    input_shape: Sequence[int] | None = None,
    class_names: Sequence[str] = (),
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress = silent,
) -> Bundle:
    """Compile ``model`` for ``target`` and write a bundle, with all that the device needs.

    ``model`` is an ONNX file, a checkpoint of a training run (.pt), or a name from the zoo;
    ``target`` is one, its name (see ``target_names``) or a .yaml file of yours. The bundle goes to
    the folder ``output``, by default to one in the cache. The network takes ``batch`` images at
    once. With ``use_cache`` a bundle that was built earlier from the same input is copied.
    ``class_names``, in the order of the logits, replace those in the file. For networks that were
    not trained here: ``preprocessing`` says what is done to a picture (None: pixel / 255),
    ``input_shape`` is height and width, or these and the channels, where the file leaves them open,
    and reading and compiling one happens in a child process within ``limits``. All of this is
    recorded in the bundle. Raises InputError, UnsupportedOperatorError, BuildError.
    """
    if not isinstance(target, Target):
        target = load_target(str(target))
    shape = None if input_shape is None else tuple(input_shape)
    supplement = Supplement(preprocessing, shape, checked_class_names(class_names))
    with onnx_file(model, progress) as file:
        return build_bundle(
            file,
            target,
            None if output is None else Path(output),
            lambda message: progress(message, 0, 0),
            use_cache=use_cache,
            supplement=supplement,
            batch=batch,
            limits=limits,
        )
