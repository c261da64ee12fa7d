"""Where taught prompts begin."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from tests.trainables.tiny import tiny
from tests.trainables.transfer.taught.problems import LABELS, taught_problem
from trainables.backbones import Backbone
from trainables.core.registries import STARTS
from trainables.core.settings import SoftSettings, TransferSettings
from trainables.errors import InputError
from trainables.soft.initialisation import Beginning, begin
from trainables.transfer import solve
from trainables.transfer.taught.starts import begun, check_start


def settings(start: str, **more: object) -> TransferSettings:
    return TransferSettings(solver="distil", start=start, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("target", ["bert", "gpt2", "opt-projected"])
@pytest.mark.parametrize("start", STARTS)
def test_shape_and_seed(start: str, target: str) -> None:
    problem = taught_problem(2, target)
    asked = settings(start, start_text="a good one" if start == "text" else None)
    found = begun(problem, asked)
    assert found.shape == problem.shape
    assert found.dtype == torch.float32
    assert torch.equal(found, begun(problem, asked))
    assert torch.equal(found[1:], begun(problem.take(slice(1, 3)), asked))
    others = begun(replace(problem, seeds=(7, 8, 9)), asked)
    # Label words alone fill a prompt of two.
    assert torch.equal(found, others) == (start != "vocabulary")


@pytest.mark.parametrize("start", ["vocabulary", "label_words"])
def test_it_begins_where_tuning_from_scratch_does(start: str) -> None:
    problem = taught_problem(1, "gpt2")
    wide = replace(problem, prompts=(torch.randn(3, 6, 16),))
    found, backbone = begun(wide, settings(start)), tiny("gpt2")
    for replica, seed in enumerate(problem.seeds):
        beginning = Beginning(
            backbone,
            backbone.labels(LABELS, "t"),
            SoftSettings(init=start, prompt_length=6),
            seed,
            problem.target.key,
        )
        assert torch.equal(found[replica], begin(beginning))


@pytest.mark.parametrize("norm", ["match", "mean", "own"])
def test_carried_is_the_closed_form_under_the_norm_of_the_problem(norm: str) -> None:
    problem = replace(taught_problem(2), norm=norm)
    expected = solve(problem, TransferSettings()).prompts[0]
    assert torch.equal(begun(problem.in_key_order(), settings("carried")), expected)


def test_nearest_words_by_a_loop_over_words() -> None:
    problem, backbone = taught_problem(1, "bert"), tiny("bert")
    carried, found = (begun(problem, settings(start)) for start in ("carried", "nearest_words"))
    whole = [number for word, number in backbone.words.items() if word.isalpha()]
    for r in range(3):
        for place in range(2):
            cosines = [
                float(F.cosine_similarity(carried[r, place], backbone.embeddings[number], dim=0))
                for number in whole
            ]
            best = whole[cosines.index(max(cosines))]
            assert torch.equal(found[r, place], backbone.embeddings[best])


def test_text_is_its_tokens_cut_or_repeated() -> None:
    problem, backbone = taught_problem(1, "gpt2"), tiny("gpt2")
    ids = backbone.tokens(backbone.lead + "good")
    found = begun(problem, settings("text", start_text="good"))
    for place in range(2):
        assert torch.equal(found[0, place], backbone.embeddings[ids[place % len(ids)]])


def test_what_cannot_start_is_said_before() -> None:
    backbone = tiny("bert")
    lost = Backbone("odd", backbone.family, backbone.tokenizer)
    lost.__dict__["words"] = {"7": 12}
    for start in ("vocabulary", "label_words", "nearest_words"):
        with pytest.raises(InputError) as told:
            check_start(lost, settings(start))
        assert str(told.value) == (
            "start: model 'odd' has no whole word among its tokens to sample from; allowed:"
            " carried or text for such a model"
        )
    check_start(lost, settings("carried"))
    with pytest.raises(InputError, match=r"^start_text: found '\\u200b', which has no token on"):
        check_start(backbone, settings("text", start_text="\u200b"))
