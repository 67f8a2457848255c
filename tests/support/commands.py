"""The commands that pages show, with their variables filled in."""

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

FENCE = re.compile(r"^```(?:bash|sh)\n(.*?)^```", re.DOTALL | re.MULTILINE)
VARIABLE = re.compile(r"^([A-Z]+)=\"([^\"]*)\"", re.MULTILINE)
GROUPS = {"data", "weights"}  # commands of two words
PROGRAM = re.compile(r"^(?:\S*/)?olivine$|^ray_jobs\.\w+$")


@dataclass(frozen=True)
class Command:
    """One command line of `olivine`, without the program."""

    page: str
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """The command, such as "sweep", "label report" or "data check"."""
        is_pair = self.words[:2] == ("label", "report") or self.words[0] in GROUPS
        return " ".join(self.words[: 1 + is_pair])

    @property
    def options(self) -> list[str]:
        """The names of its options."""
        return [word.partition("=")[0] for word in self.words if word.startswith("-")]

    def arguments(self, flags: Collection[str]) -> list[str]:
        """Return what is no option and no option's value; `flags` are options without one."""
        rest, found = list(self.words[len(self.name.split()) :]), []
        while rest:
            word = rest.pop(0)
            if not word.startswith("-"):
                found.append(word)
            elif word not in flags and "=" not in word and rest:
                rest.pop(0)
        return found

    def option(self, name: str) -> list[str]:
        """Return every value that an option is given."""
        pairs = zip(self.words, self.words[1:], strict=False)
        return [value for word, value in pairs if word == name]


def commands_of(page: str, text: str) -> list[Command]:
    """Return the commands of `olivine` and of `ray_jobs` in a page's shell blocks."""
    blocks = "\n".join(FENCE.findall(text)).replace("\\\n", " ")
    blocks = VARIABLE.sub(lambda found: " ".join(found[0].split()), blocks)
    variables: dict[str, str] = {}
    commands = []
    for line in blocks.splitlines():
        variables.update(VARIABLE.findall(line))
        words = _words(_filled(line, variables))
        place = next((i for i in range(len(words)) if _is_program(words, i)), None)
        if place is not None and not words[place + 1].startswith("-"):
            job = words[place].removeprefix("ray_jobs.")
            of_job = [job] if job != words[place] else []
            commands.append(Command(page, (*of_job, *words[place + 1 :])))
    return commands


def _is_program(words: Sequence[str], place: int) -> bool:
    """Say whether a command of ours begins there: a line's first word, or a module that runs."""
    begins = place == 0 or words[place - 1] == "-m"
    return begins and PROGRAM.match(words[place]) is not None


def _filled(line: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$([A-Z]+)", lambda used: variables.get(used[1], used[0]), line)


def _words(line: str) -> list[str]:
    """Return a line's words, without comments and redirections; none of a piece of a text."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # a policy in JSON over several lines
        return []
    return words[: words.index(">")] if ">" in words else words
