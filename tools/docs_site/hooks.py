"""The hook that mkdocs.yml names: generated pages, links to files of the root, equations.

Nothing of the site comes from the network: equations become MathML when the site is built.
"""

import posixpath
import re
import sys
from functools import cache
from pathlib import Path

from markdown.extensions.toc import slugify
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # mkdocs loads this file by its path

from tools.docs_site import catalogue_pages, commands_page, mathml, settings_page  # noqa: E402

CITATION = re.compile(r"(?<!>)method\.md §(\d+(?:\.\d+)*)")  # except links
CELL = re.compile(r"(?<=<td>).*?(?=</td>)", re.DOTALL)
CODE = re.compile(r"(?<=<code>)[^<]*(?=</code>)")
COMMANDS = re.compile(r'(?<=<div class="language-bash highlight">).*?(?=</code>)', re.DOTALL)
LINE = re.compile(r'(?<=<span id="__span-)(\d+-\d+">)(.*?)\n</span>')
INLINE = re.compile(r"(?<=<code>)(?:[^<]|<wbr>)*(?=</code>)")
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")  # a browser would break it at its hyphens
TAG, JOINT = re.compile(r"(<[^>]+>)"), re.compile(r"(?<=[^\s_.][./_=])(?=[^\W_])")
SPACE = re.compile(r'(<span class="w">\s+</span>)')
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
    """Write equations as MathML and citations as links, and say where names and commands break."""
    html = CITATION.sub(lambda found: _cited(found, page.file.src_uri), html)
    html = COMMANDS.sub(lambda block: LINE.sub(_with_words, block[0]), html)
    html = CELL.sub(_with_joints, mathml.replace_equations(html))
    return INLINE.sub(lambda code: OPTION.sub(r'<span class="option">\g<0></span>', code[0]), html)


def _cited(found: re.Match[str], page: str) -> str:
    """Return a citation of the method's page as a link to its section."""
    anchor = _anchors().get(found[1])
    up = "../" * page.count("/")
    return f'<a href="{up}method.html#{anchor}">{found[0]}</a>' if anchor else found[0]


@cache
def _anchors() -> dict[str, str]:
    """Return the anchor of every numbered section of the method's page."""
    text = (ROOT / "docs" / "method.md").read_text()
    headings = re.findall(r"^#+ ((\d+(?:\.\d+)*)\.? .*)$", text, re.MULTILINE)
    return {number: slugify(title, "-") for title, number in headings}


def _with_joints(cell: re.Match[str]) -> str:
    return CODE.sub(_readable, cell[0]).replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}")


def _with_words(line: re.Match[str]) -> str:
    """Return a line of commands whose words are whole: a browser breaks at every hyphen.

    The line's end stands behind it: within, the style sheet's boxes would copy it twice.
    """
    words = (
        part if SPACE.fullmatch(part) or not part else f'<span class="word">{_jointed(part)}</span>'
        for part in SPACE.split(line[2])
    )
    return f"{line[1]}{''.join(words)}</span>\n"


def _jointed(html: str) -> str:
    """Return HTML whose names may break at their joints; tags stay as they are."""
    return "".join(
        part if part.startswith("<") else JOINT.sub("<wbr>", part) for part in TAG.split(html)
    )


def _readable(code: re.Match[str]) -> str:
    """Return a name that may break at its joints, with the bars that GitHub wants escaped."""
    return JOINT.sub("<wbr>", code[0].replace(r"\|", "|"))


def _copied(source: str) -> str:
    """Return a file's text with its links seen from docs/."""

    def from_docs(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        return f"]({posixpath.relpath(path, 'docs')}"

    return re.sub(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", from_docs, (ROOT / source).read_text())
