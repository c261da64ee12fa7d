"""Dynamic prompts become static ones where that says the same, and are refused elsewhere."""

import numpy as np
import pytest
import torch

from tests.trainables.dynamic.guided import (
    LENGTH,
    chosen_everywhere,
    guide_of,
    labels_of,
    matrices,
    rows_of,
    static_rows,
    tiny,
)
from trainables.backbones import Layout
from trainables.errors import InputError
from trainables.interchange.decided import static_form


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_what_is_decided_of_a_task_reads_the_same_as_a_static_prompt(name: str) -> None:
    backbone = tiny(name)
    for choices, position in (
        ({"position": 0, "length": 1, "representation": 1}, "prefix"),
        ({"position": LENGTH, "length": 0, "representation": 0}, "infix"),
    ):
        guide, prompt = chosen_everywhere(backbone, tuple(choices), **choices)
        layout = Layout(LENGTH, guide=guide)
        vectors, plain = static_form(prompt[0].numpy(), layout, name)
        assert plain.guide is None and plain.position == position
        assert len(vectors) == plain.prompt_length == LENGTH - choices["length"]
        mine = backbone.split_logits(rows_of(backbone, guide), labels_of(backbone), prompt)
        static = static_rows(backbone, len(vectors), position)
        theirs = backbone.split_logits(static, labels_of(backbone), torch.from_numpy(vectors)[None])
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_what_no_static_prompt_says_is_refused_in_a_sentence() -> None:
    backbone = tiny("bert")
    guide = guide_of(backbone)
    prompt = matrices(guide, 1)[0].numpy()
    with pytest.raises(InputError, match="position, length, representation each text decides"):
        static_form(prompt, Layout(LENGTH, guide=guide), "bert")
    guide, matrix = chosen_everywhere(backbone, ("position",), position=1)
    with pytest.raises(InputError, match="2 vectors before a text and 1 behind it; allowed"):
        static_form(matrix[0].numpy(), Layout(LENGTH, guide=guide), "bert")


def test_other_prompts_stay_as_they_are() -> None:
    prompt, layout = np.zeros((2, 4), np.float32), Layout(2, "infix")
    found, same = static_form(prompt, layout, "bert")
    assert found is prompt and same is layout
