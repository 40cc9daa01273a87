import pytest

from tests.report.snapshots import CASES, FOLDER, WIDTHS, path, text


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("case", CASES)
def test_terminal(case: str, width: int) -> None:
    """Renew with ``python -m tests.report.snapshots``, and look at the difference."""
    shown = text(case, width)
    assert max(map(len, shown.splitlines())) <= width
    assert shown == path(case, width).read_text(encoding="utf-8")


def test_no_snapshot_without_a_case() -> None:
    assert set(FOLDER.iterdir()) == {path(case, width) for case in CASES for width in WIDTHS}
