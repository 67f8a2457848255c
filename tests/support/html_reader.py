"""What a browser would make of a page: its texts, tables, links and scripts."""

from html.parser import HTMLParser


class HtmlReader(HTMLParser):
    """Collects what a page holds; fails at a tag that closes another."""

    VOID = ("meta", "br", "wbr", "img", "line")
    HIDDEN = ("script", "style", "noscript")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, dict[str, str]]] = []  # of every tag
        self.tables: list[list[list[str]]] = []  # lines of cells
        self.marked: dict[str, list[str]] = {}  # texts of cells by class
        self.scripts: list[str] = []
        self.text = ""
        self._classes: list[str] = []
        self.feed(str(page))
        assert self.open == []

    def values(self, *names: str) -> list[str]:
        """Return all values of attributes of these names."""
        return [one[name] for _, one in self.attributes for name in names if name in one]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.attributes.append((tag, values))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._classes = values.get("class", "").split()
            for name in self._classes:
                self.marked.setdefault(name, []).append("")
        elif tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        if set(self.HIDDEN) & set(self.open):
            return
        self.text += data
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data
            for name in self._classes:
                self.marked[name][-1] += data
