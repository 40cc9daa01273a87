"""The list of targets."""

from click.testing import CliRunner

from bitat_deploy.cli.targets import targets
from bitat_deploy.target import target_names


def test_every_target_is_listed() -> None:
    result = CliRunner().invoke(targets, [])
    assert result.exit_code == 0
    first_words = {line.split()[0] for line in result.stdout.splitlines() if line.strip()}
    assert set(target_names()) <= first_words
