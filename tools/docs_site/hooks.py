"""The hook that mkdocs.yml names: generated pages, links to files of the root, equations.

Nothing of the site comes from the network: equations become MathML when the site is built.
"""

import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # mkdocs loads this file by its path

from tools.docs_site import catalogue_pages, commands_page, mathml, settings_page  # noqa: E402

# Pages that are files elsewhere in the checkout, where their readers look for them.
COPIED = {
    "changelog.md": "CHANGELOG.md",
    "cluster_aws.md": "cluster/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code and from files of the root."""
    pages = {
        "reference/commands.md": commands_page.page(),
        "reference/settings.md": settings_page.page(),
        "reference/recipes.md": catalogue_pages.recipes(),
        "reference/sweeps.md": catalogue_pages.sweeps(),
        "reference/weights.md": catalogue_pages.weights(),
        "reference/published.md": catalogue_pages.published(),
    }
    pages |= {name: _copied(source) for name, source in COPIED.items()}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to files of the root, which GitHub follows, lead to their pages."""
    up = "../" * page.file.src_uri.count("/")
    for name, source in COPIED.items():
        markdown = markdown.replace(f"]({up}../{source}", f"]({up}{name}")
    return markdown


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write equations as MathML, which browsers draw without a script or a font."""
    return mathml.replace_equations(html)


def _copied(source: str) -> str:
    """Return a file's text with its links seen from docs/."""
    folder = "/".join(source.split("/")[:-1])
    text = (ROOT / source).read_text()

    def from_docs(link: re.Match[str]) -> str:
        parts = [*folder.split("/"), *link[1].split("/")] if folder else link[1].split("/")
        path: list[str] = []
        for part in parts:
            path = path[:-1] if part == ".." else [*path, part]
        name = "/".join(path)
        return f"]({name.removeprefix('docs/') if name.startswith('docs/') else '../' + name}"

    return re.sub(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", from_docs, text)
