"""Prompts that a model proposes itself: what it is asked, what is scored, and the control."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.trainables.hard.problems import TEXTS, problem, words
from tests.trainables.tiny import tiny
from trainables.backbones import load_backbone
from trainables.core.settings.helped.proposals import ProposalsSettings
from trainables.errors import InputError
from trainables.hard.drawn import OFFERED, SCORED
from trainables.hard.methods import proposals
from trainables.hard.problem import HardProblem, HardReplica
from trainables.models.names import resolve_model

SHORT = ProposalsSettings(
    prompt_length=2, steps=3, prompts=4, reward_texts=6, examples=1, example_tokens=3, history=2
)
EXAMPLES = [(text, ("bad", "good")[gold]) for text, gold in TEXTS]


def asked() -> HardProblem:
    task = problem("gpt2", 2)
    helper = load_backbone(resolve_model("pocket-gpt2"))
    return replace(task, helper=helper, examples=EXAMPLES)


def test_the_question_holds_examples_and_the_history_with_the_best_last() -> None:
    helper = load_backbone(resolve_model("pocket-gpt2"))
    history = [("one two", 0.25), ("three four", 0.5)]
    ids = proposals.question(helper, [("a very long film indeed", "good")], history, SHORT)
    text = helper.tokenizer.decode(ids).lower()
    assert "text: a very long\nanswer: good" in text
    assert text.index("words: one two\nright: 25%") < text.index("words: three four\nright: 50%")
    assert text.rstrip().endswith("so that its answer is found:")


def test_what_does_not_fit_is_left_out_and_the_best_prompt_last() -> None:
    helper = load_backbone(resolve_model("pocket-gpt2"))
    many = [(f"{word} film", "good") for word in ("a", "the", "my", "no")] * 4
    history = [(f"number {place}", place / 100) for place in range(40)]
    ids = proposals.question(helper, many, history, SHORT)
    assert len(ids) <= helper.family.max_tokens - 2
    text = helper.tokenizer.decode(ids).lower()
    assert "text:" not in text and "number 39" in text and "number 0\n" not in text
    small = replace(SHORT, prompt_length=helper.family.max_tokens)
    with pytest.raises(InputError, match="helper: model 'pocket-gpt2' has room for 128 tokens"):
        proposals.question(helper, [], [], small)


def test_a_model_with_a_chat_template_is_asked_in_it() -> None:
    helper = tiny("llama", 5)
    helper.tokenizer.chat_template = (
        "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %} [assistant]{% endif %}"
    )
    helper.__dict__.pop("chat", None)
    try:
        ids = proposals.question(helper, [], [], SHORT)
        text = helper.tokenizer.decode(ids)
    finally:
        helper.tokenizer.chat_template = None
        helper.__dict__.pop("chat", None)
    text = text.lower()
    assert "[user]" in text and text.rstrip().endswith("[assistant]")
    assert "write words to put in front of every text" in text


def test_each_step_asks_with_the_best_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[Any], list[Any]]] = []
    real = proposals.question

    def question(helper: Any, examples: Any, history: Any, settings: Any) -> list[int]:
        seen.append((list(examples), list(history)))
        return real(helper, examples, history, settings)

    monkeypatch.setattr(proposals, "question", question)
    task = asked()
    replica = HardReplica(0, words(task, 30))
    proposals.search(task, [replica], SHORT)
    assert [len(history) for _, history in seen] == [0, 2, 2]
    assert all(history[0][1] <= history[1][1] for _, history in seen[1:])
    assert all(example in EXAMPLES for examples, _ in seen for example in examples)
    seen.clear()
    proposals.search(task, [replica], replace(SHORT, ask="examples"))
    assert [len(history) for _, history in seen] == [0, 0, 0]


def test_a_control_scores_and_offers_as_many_different_prompts() -> None:
    task = asked()
    every = [HardReplica(seed, words(task, 30), drawn=drawn)
             for seed in (0, 1) for drawn in (False, True)]  # fmt: skip
    found = proposals.search(task, every, SHORT)
    for sought, drawn in (found[:2], found[2:]):
        assert sought.told == drawn.told
        assert 1 <= sought.told[SCORED] == sought.told[OFFERED] <= 12
        assert set(sought.ids) | set(drawn.ids) <= set(words(task, 30).tolist())
        assert drawn.cost.source_rows == 0 < sought.cost.source_rows
    assert found[0].ids != found[2].ids or found[1].ids != found[3].ids


def test_the_best_of_what_was_proposed_is_kept() -> None:
    """By the validation score of every proposal, one after another."""
    task = asked()
    offered: list[tuple[int, ...]] = []
    sample = proposals.Helper.sample

    def noted(self: Any, *args: Any) -> torch.Tensor:
        prompts = sample(self, *args)
        offered.extend(map(tuple, prompts.tolist()))
        return prompts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proposals.Helper, "sample", noted)
        (found,) = proposals.search(task, [HardReplica(3, words(task, 30))], SHORT)
    source = task.source
    every = list(dict.fromkeys(offered))
    vectors = source.backbone.embeddings[torch.tensor(every)]
    logits = source.backbone.split_logits(source.validation, source.label_ids, vectors)
    right = (logits.argmax(-1) == source.validation.gold).double().mean(-1)
    assert found.validation == pytest.approx(float(right.max()))
    assert found.told[SCORED] == len(every)


def test_settings_are_refused_in_a_sentence() -> None:
    with pytest.raises(InputError, match="examples: found 0; allowed: at least 1, as ask is"):
        ProposalsSettings(ask="examples", examples=0)
    for wrong in ({"prompts": 0}, {"temperature": 0.0}, {"ask": "nothing"}, {"steps": 0}):
        with pytest.raises(InputError):
            ProposalsSettings(**wrong)
