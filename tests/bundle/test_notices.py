"""A bundle contains the licences of its parts."""

from pathlib import Path

from bitat_deploy.bundle import read_bundle
from bitat_deploy.bundle.bundle import NOTICES
from bitat_deploy.bundle.notices import notices
from bitat_deploy.target import load_target


def test_a_bundle_names_what_it_contains(rpi4_bundle: Path) -> None:
    bundle = read_bundle(rpi4_bundle)
    (file,) = (file for file in bundle.manifest.files if file.path == NOTICES)
    assert not file.push
    text = (rpi4_bundle / NOTICES).read_text()
    for library in (rpi4_bundle / "lib").iterdir():
        assert library.name in text
    for place in ("runner", "lib/libbitat_deploy.so"):
        content = (rpi4_bundle / place).read_bytes()
        for linked in ("libunwind", "libc++abi"):
            assert linked.encode() in content, "it is no longer linked: mend notices.py"
            assert linked in text
    for licence in ("Apache License", "The MIT License", "LLVM Exceptions", "Neither the name"):
        assert licence in text


def test_a_static_bundle_has_no_runtime_of_tvm_but_a_c_library() -> None:
    text = notices(load_target("rpi-32bit"))
    assert "musl as a whole is licensed under" in text
    assert "libtvm_runtime" not in text and "GNU C Library" not in text
