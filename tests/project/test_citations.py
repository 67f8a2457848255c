"""Every section that a file cites exists, in a document that users have."""

import re

from tests.support import ROOT
from tests.support.tracked_files import text_files

CITED = "docs/method.md"
SECTION = r"§\d+(?:\.\d+)*"
CITATION = re.compile(rf"method\.md {SECTION}(?:(?:,| and| to| or) {SECTION})*")
# A name in capitals, other than OLIVINE, before the number of a section: somebody else's notes.
FOREIGN = re.compile(r"\b(?!OLIVINE\b)[A-Z]{5,}(?:_[A-Z]+)*(?:\.md)? (?:§ ?)?\d{1,2}(?:\.\d+)*\b")


def joined(text: str) -> str:
    """Return a text without line ends: a citation may go over one, also in a comment."""
    return re.sub(r"\s*\n[#\s]*", " ", text)


def sections(text: str) -> set[str]:
    """Return the number of every heading, such as "4.2"."""
    return set(re.findall(r"^#+ (\d+(?:\.\d+)*)\.? ", text, flags=re.MULTILINE))


def test_every_cited_section_exists() -> None:
    there, cited = sections((ROOT / CITED).read_text()), set()
    for name, text in text_files().items():
        for citation in CITATION.findall(joined(text)):
            cited |= {(name, number[1:]) for number in re.findall(SECTION, citation)}
    assert len({name for name, _ in cited}) > 40, "the code cites its equations"
    assert not {f"{name}: §{number}" for name, number in cited if number not in there}


def test_the_method_page_refers_to_its_own_sections() -> None:
    text = (ROOT / CITED).read_text()
    assert {number[1:] for number in re.findall(SECTION, text)} <= sections(text)


def test_every_citation_of_a_section_has_the_same_form() -> None:
    other = {
        name
        for name, text in text_files().items()
        if name != CITED and re.search(r"§\d", CITATION.sub("", joined(text)))
    }
    assert not other


def test_no_document_is_cited_that_is_not_here() -> None:
    found = {
        f"{name}: {citation}"
        for name, text in text_files().items()
        for citation in FOREIGN.findall(joined(text))
    }
    assert not found


def test_the_patterns_find_what_they_look_for() -> None:
    sign = SECTION[0]  # written so that this file cites nothing itself
    cites = f"(see method.md\n    # {sign}4.2 and {sign}4.3)"
    assert CITATION.findall(joined(cites)) == [f"method.md {sign}4.2 and {sign}4.3"]
    assert FOREIGN.search("as NOTES" + " 7.1 says")
    assert not FOREIGN.search("OLIVINE 47.3 and PPKT 37")
    assert sections("## 4. Losses\n### 4.2 Class\n# Not 3\n") == {"4", "4.2"}
