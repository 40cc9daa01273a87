import resource
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from bitat_deploy.cli.main import cli
from bitat_deploy.cli.project_file import Project, read_project, write_project
from bitat_deploy.errors import InputError


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, catch_exceptions=True)


def test_init_writes_what_the_commands_then_take_as_defaults() -> None:
    assert run("init", "--target", "rpi4", "--host", "pi@board").exit_code == 0
    assert read_project() == Project("fashion-mnist-mobilenet", "rpi4", "pi@board", None)
    context = click.Context(cli)
    with context:
        cli.callback()  # type: ignore[misc]
    assert context.default_map is not None
    assert context.default_map["bench"] == {"hosts": ("pi@board",)}
    assert context.default_map["build"]["target_name"] == "rpi4"


def test_doctor_takes_its_host_from_the_file_and_the_command_line_wins() -> None:
    Path("bitat.yaml").write_text("host: 'not a host'\n")
    assert "not a host" in str(run("doctor").exception)
    assert "nor is this" in str(run("doctor", "--host", "nor is this").exception)


def test_init_never_replaces_a_file() -> None:
    write_project(Project(host="a"))
    before = Path("bitat.yaml").read_bytes()
    with pytest.raises(InputError, match="exists already"):
        write_project(Project(host="b"))
    assert Path("bitat.yaml").read_bytes() == before


def test_a_file_that_cannot_be_written_is_not_begun() -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, limit[1]))
    try:
        with pytest.raises(InputError, match=r"cannot write .*: File too large"):
            write_project(Project(host="a"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not list(Path().iterdir())


def test_init_refuses_an_unknown_target_and_writes_nothing() -> None:
    assert "unknown target" in str(run("init", "--target", "toaster").exception)
    assert not Path("bitat.yaml").exists()


@pytest.mark.parametrize(
    "text",
    [
        *("hosts: pi@a\n", "- pi@a\n", "host: 5\n", "host: [a\n", "\x00", "host: {a: b}"),
        *("host: 2001-99-99", "host: " + "9" * 5000, "host: ''", '"host": "a\\u001b[2J"'),
        *("host: " + "[" * 50_000, "host: &a [*a]", "#" * 100_000),
        "a: &a [x, x, x]\nb: &b [*a, *a, *a]\nhost: [*b, *b, *b]\n",
    ],
)
def test_bad_files(text: str) -> None:
    Path("bitat.yaml").write_text(text)
    with pytest.raises(InputError, match=r"bitat\.yaml"):
        read_project()


def test_an_empty_file_says_nothing() -> None:
    Path("bitat.yaml").write_text("")
    assert read_project() == Project()
