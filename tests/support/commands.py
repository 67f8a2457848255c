"""The commands that pages show, with their variables filled in."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

FENCE = re.compile(r"^```(?:bash|sh)\n(.*?)^```", re.DOTALL | re.MULTILINE)
VARIABLE = re.compile(r"^([A-Z]+)=\"([^\"]*)\"", re.MULTILINE)
PROGRAM = re.compile(r"^(?:\S*/)?olivine$|^ray_jobs\.\w+$")


@dataclass(frozen=True)
class Command:
    """One command line of `olivine`, without the program."""

    page: str
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """The command, such as "sweep" or "label report"."""
        return "label report" if self.words[:2] == ("label", "report") else self.words[0]

    @property
    def arguments(self) -> list[str]:
        """Everything after the command's name that is no option and no option's value."""
        rest, found = list(self.words[len(self.name.split()) :]), []
        while rest:
            word = rest.pop(0)
            if word.startswith("--"):
                if word not in FLAGS and "=" not in word and rest:
                    rest.pop(0)
            else:
                found.append(word)
        return found

    def option(self, name: str) -> list[str]:
        """Return every value that an option is given."""
        pairs = zip(self.words, self.words[1:], strict=False)
        return [value for word, value in pairs if word == name]


FLAGS = {"--dry-run", "--retry-failed", "--force"}


def commands_of(page: str, text: str) -> list[Command]:
    """Return the commands of `olivine` and of `ray_jobs` in a page's shell blocks."""
    blocks = "\n".join(FENCE.findall(text)).replace("\\\n", " ")
    blocks = VARIABLE.sub(lambda found: " ".join(found[0].split()), blocks)
    variables: dict[str, str] = {}
    commands = []
    for line in blocks.splitlines():
        variables.update(VARIABLE.findall(line))
        words = _words(_filled(line, variables))
        place = next((i for i, word in enumerate(words) if PROGRAM.match(word)), None)
        if place is not None and len(words) > place + 1:
            job = words[place].removeprefix("ray_jobs.")
            of_job = [job] if job != words[place] else []
            commands.append(Command(page, (*of_job, *words[place + 1 :])))
    return commands


def _filled(line: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$([A-Z]+)", lambda used: variables.get(used[1], used[0]), line)


def _words(line: str) -> list[str]:
    """Return a line's words, without comments and redirections; none of a piece of a text."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # a policy in JSON over several lines
        return []
    return words[: words.index(">")] if ">" in words else words
