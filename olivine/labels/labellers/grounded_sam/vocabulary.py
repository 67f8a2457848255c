"""The prompts of Grounded-SAM, and the class of each.

The two vocabularies of the authors' labels (method.md §2.1) are files beside this module; any other
comes from a file of the same form:

    prompts:
      - {prompt: traffic cone, means: traffic_cone}
      - {prompt: man, means: pedestrian}
      - {prompt: woman, means: pedestrian}

A class is one of the 16 of nuScenes-lidarseg, unless the file names its own under `classes`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from olivine.core.errors import UserError, nearest
from olivine.core.spec import Spec, read_yaml
from olivine.data.class_names import NUSCENES
from olivine.data.records import IGNORE

FOLDER = Path(__file__).with_name("vocabularies")


class Prompt(Spec):
    """One phrase and the class that its boxes get."""

    prompt: str = Field(description="The phrase that the detector looks for.")
    means: str = Field(description="Name of the class that a box of this prompt gets.")


class Vocabulary(Spec):
    """Prompts in the order in which the detector reads them."""

    prompts: tuple[Prompt, ...] = Field(
        description="Phrases with their classes, in the order in which the detector reads them."
    )
    classes: tuple[str, ...] = Field(
        default=NUSCENES, description="Names of the classes that prompts may mean."
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        """Accept the name of a packaged vocabulary, or the path of a file, for its content."""
        return _read_vocabulary(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_one(self) -> "Vocabulary":
        if not self.prompts:
            raise ValueError("a vocabulary needs at least one prompt")
        seen = set()
        for prompt in self.prompts:
            text = prompt.prompt.strip().lower()
            if not text or "." in text or "?" in text:
                raise ValueError(f"the prompt {prompt.prompt!r} must be words, without '.' or '?'")
            if text in seen:
                raise ValueError(f"the prompt {prompt.prompt!r} occurs twice")
            seen.add(text)
            if prompt.means not in self.classes:
                raise ValueError(
                    f"the prompt {prompt.prompt!r} means the unknown class "
                    f"{prompt.means!r}.{nearest(prompt.means, self.classes)} Allowed "
                    f"are {', '.join(self.classes)}; a file may name others under `classes`"
                )
        if len(self.class_names) >= IGNORE:
            raise ValueError(f"at most {IGNORE - 1} classes fit a label map")
        return self

    @property
    def texts(self) -> tuple[str, ...]:
        """The prompts in the form that the detector takes."""
        return tuple(prompt.prompt.strip().lower() for prompt in self.prompts)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Every class of a prompt, in the order of its first prompt."""
        return tuple(dict.fromkeys(prompt.means for prompt in self.prompts))

    @property
    def class_of_prompt(self) -> tuple[int, ...]:
        """The position in `class_names` of each prompt's class."""
        names = self.class_names
        return tuple(names.index(prompt.means) for prompt in self.prompts)


def _read_vocabulary(name: str) -> Mapping[str, Any]:
    ours = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    path = FOLDER / f"{name}.yaml" if name in ours else Path(name).expanduser()
    if not path.is_file():
        raise UserError(
            f"No vocabulary {name!r}: neither one of {', '.join(ours)} nor a file."
            f"{nearest(name, ours)}"
        )
    return read_yaml(path)
