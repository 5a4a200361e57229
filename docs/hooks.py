"""What makes a site of this folder: pages and files of the repository that the manual links to.

README.md is the first page, CONTRIBUTING.md and CHANGELOG.md the last ones. A link that leads out
of docs/ is kept: the file is copied into the site, under its path in the repository.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)")
OUTSIDE = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=["']?https?://[^>]*>""")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of PAGES, and every file of the repository that a page links to."""
    for source, page in PAGES.items():
        text = _as_in_docs((ROOT / source).read_text(encoding="utf-8"))
        files.append(File.generated(config, page, content=text))
    wanted: set[str] = set()
    for file in files.documentation_pages():
        folder = posixpath.dirname(file.src_uri)
        targets = (posixpath.join(folder, target) for target in LINK.findall(file.content_string))
        wanted |= {posixpath.normpath(target) for target in targets}
    for target in sorted(wanted):
        path = target.removeprefix("../")
        if files.get_file_from_path(path) is None and (ROOT / path).is_file():
            files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead the links out of docs/ to the copies in the site.

    Raises:
        PluginError: for a link to what is neither a page nor a file of the repository.
    """

    def inside(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match[1]))
        path = target.removeprefix("../")
        if files.get_file_from_path(path) is None:
            raise PluginError(f"{page.file.src_uri} links to {match[1]}, which is not a file")
        return posixpath.relpath(path, folder or ".")

    folder = posixpath.dirname(page.file.src_uri)
    return LINK.sub(inside, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Refuse a page that would load something from the network.

    Raises:
        PluginError: naming the page and the element.
    """
    for found in OUTSIDE.findall(output):
        raise PluginError(f"{page.file.src_uri} loads from the network: {found}")
    return output


def _as_in_docs(text: str) -> str:
    """The text of a page at the root of the repository, with its links as if it lay in docs/."""

    def moved(match: re.Match[str]) -> str:
        target = match[1]
        page = PAGES.get(target, target.removeprefix("docs/"))
        return page if page != target else f"../{target}"

    return LINK.sub(moved, text)
