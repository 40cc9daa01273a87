from pathlib import Path

import pytest

from bitat_deploy.compiler.cross_compiler import compile_cpp
from bitat_deploy.errors import BuildError
from bitat_deploy.target import load_target


@pytest.mark.parametrize("source", ["int main() { return x; }", "int main() { int unused; }"])
def test_errors_and_warnings_end_the_build(source: str, tmp_path: Path) -> None:
    (tmp_path / "main.cc").write_text(source)
    output = tmp_path / "out" / "program"
    with pytest.raises(BuildError, match=r"could not make 'program': .*main.cc:1"):
        compile_cpp([tmp_path / "main.cc"], output, load_target("host"))
    assert list(output.parent.iterdir()) == []
