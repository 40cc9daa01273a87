"""What MkDocs does besides (mkdocs.yml): links out of docs/, and roles in docstrings.

The site has no files but those of docs/. A link to another file of the repository becomes its
path, and is checked: one that does not exist ends the build.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)#\s]+)(#[^)\s]*)?\)")
_ROLE = re.compile(r":(?:class|func|meth|mod|data):<code>~?\.?([^<]+)</code>")


def on_page_markdown(markdown: str, page: Any, **kwargs: Any) -> str:
    """Turn links to files outside of docs/ into their paths."""
    folder = Path(page.file.abs_src_path).parent

    def path_of(match: "re.Match[str]") -> str:
        text, target = match[1], (folder / match[2]).resolve()
        if target.is_relative_to(ROOT / "docs"):
            return match[0]
        if not target.exists():
            raise PluginError(f"{page.file.src_uri} links to '{match[2]}', which does not exist")
        path = target.relative_to(ROOT).as_posix()
        plain = text.strip("`")
        return f"`{path}`" if plain in (path, target.name) else f"{text} (`{path}`)"

    return _LINK.sub(path_of, markdown)


def on_page_content(html: str, **kwargs: Any) -> str:
    """Show what docstrings refer to as code, without the name of the role."""
    return _ROLE.sub(r"<code>\1</code>", html)
