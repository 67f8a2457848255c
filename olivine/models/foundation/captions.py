"""Prompts as one caption, and the positions of each prompt's tokens in it.

GroundingDINO reads a caption of phrases, each ended by a dot; a phrase attends to itself alone.
"""

from collections.abc import Sequence
from typing import Any

from olivine.core.errors import UserError

MAX_TOKENS = 256  # the published models' text length


def caption_of(prompts: Sequence[str]) -> str:
    """Return "barrier . traffic cone ." for ("barrier", "traffic cone")."""
    return " ".join(f"{prompt.strip().lower()} ." for prompt in prompts)


def prompt_tokens(tokenizer: Any, prompts: Sequence[str]) -> list[list[int]]:
    """Return the positions of every prompt's tokens in the tokenized caption.

    Raises UserError for a prompt without a known word, and for more tokens than a model reads.
    """
    ids = tokenizer(caption_of(prompts))["input_ids"]
    if len(ids) > MAX_TOKENS:
        raise UserError(
            f"The {len(prompts)} prompts make a caption of {len(ids)} tokens; the model reads "
            f"{MAX_TOKENS}: use fewer or shorter prompts."
        )
    dot, unknown = tokenizer.convert_tokens_to_ids("."), tokenizer.unk_token_id
    positions: list[list[int]] = [[]]
    for position, token in enumerate(ids):
        if token == dot:
            positions.append([])
        elif token not in (tokenizer.cls_token_id, tokenizer.sep_token_id):
            positions[-1].append(position)
    positions.pop()  # after the last dot
    assert len(positions) == len(prompts), "a prompt holds a dot"
    for prompt, some in zip(prompts, positions, strict=True):
        if not some or all(ids[position] == unknown for position in some):
            raise UserError(
                f"The text encoder's vocabulary has no word of the prompt {prompt!r}; use another."
            )
    return positions
