import errno
import os
import shlex
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from bitat_deploy.cli.main import cli, main
from bitat_deploy.errors import BuildError


def test_help_shows_every_command() -> None:
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    for command in ("train", "export", "build", "bench", "doctor"):
        assert command in result.output


@pytest.mark.parametrize("name", cli.list_commands(click.Context(cli)))
def test_help_has_examples_that_parse(name: str) -> None:
    text = CliRunner().invoke(cli, [name, "--help"]).output
    _, _, section = text.rpartition("\n  Example")
    examples = [line.strip() for line in section.splitlines()[1:]]
    assert examples, text
    for example in examples:
        program, command, *arguments = shlex.split(example)
        assert (program, command) == ("bitat-deploy", name)
        found = cli.get_command(click.Context(cli), name)
        assert found is not None
        found.make_context(name, arguments)  # raises UsageError for what is wrong


SLOW_TO_IMPORT = {"tvm", "torch", "onnxruntime.quantization", "paramiko", "onnxruntime"}
# The others import onnxruntime.
WITHOUT_ANY = {"clean", "export", "init", "main", "quantize", "sdk", "targets", "train"}


@pytest.mark.parametrize("name", [*cli.list_commands(click.Context(cli)), "main"])
def test_commands_import_no_more_than_they_need(name: str) -> None:
    """Importing TVM or torch takes seconds, and torch may not be installed."""
    script = f"import sys, bitat_deploy.cli.{name}; print(*sys.modules, sep='\\n')"
    process = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    expected = set() if name in WITHOUT_ANY else {"onnxruntime"}
    assert SLOW_TO_IMPORT & set(process.stdout.split()) == expected


def test_a_full_disk_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "from", None, "to")

    monkeypatch.setattr(cli, "main", full)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == BuildError.exit_code
    assert capsys.readouterr().err.startswith("Error: this machine's disk is full at 'to'; ")
