import subprocess
import sys

from click.testing import CliRunner

from bitat_deploy.cli.main import cli


def test_help_shows_every_command() -> None:
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    for command in ("train", "export", "build", "bench", "doctor"):
        assert command in result.output


def test_deploy_side_imports_without_torch() -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "import bitat_deploy.cli.build, bitat_deploy.cli.bench, bitat_deploy.cli.export"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
