"""Mixed training: another model judges the text of what the source proposes."""

import itertools
from dataclasses import replace
from functools import cache

import pytest
import torch

from tests.trainables.tiny import tiny
from trainables.backbones import Layout, load_backbone
from trainables.core.settings.mixed import MixedSettings
from trainables.errors import InputError
from trainables.hard.methods import mixed
from trainables.hard.problem import HardProblem, HardReplica, TaskModel
from trainables.hard.scorer import Translation
from trainables.models.names import resolve_model
from trainables.testing.hard_contract import TINY_WORDS, sample_problem, words_of

POCKET = ("pocket-bert", "pocket-gpt2", "pocket-llama")
SHORT = MixedSettings(prompt_length=2, steps=4, batch_size=4, accumulation=2, candidates=4)


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(POCKET, 2)))
def test_looking_up_is_reading_the_text(source: str, target: str) -> None:
    """10 random word-start tokens: ids from the table are those of decoding and encoding."""
    one, other = (load_backbone(resolve_model(name)) for name in (source, target))
    translation = Translation(one, other)
    common = sorted(set(one.words) & set(other.words))
    draw = torch.Generator().manual_seed(0)
    for _ in range(200):
        words = [common[i] for i in torch.randint(len(common), (10,), generator=draw).tolist()]
        ids = tuple(one.words[word] for word in words)
        text = " ".join(words)
        assert translation.text(ids) == text
        assert tuple(one.tokens(one.lead + text)) == ids, "nothing is lost on the source"
        assert translation(ids) == tuple(other.tokens(other.lead + text))
        assert len(translation(ids)) == 10
    assert not translation._known, "no text was needed"


def test_anything_else_is_decoded_and_encoded_once() -> None:
    one, other = (load_backbone(resolve_model(name)) for name in ("pocket-gpt2", "pocket-bert"))
    translation = Translation(one, other)
    only_here = sorted(set(one.words) - set(other.words))
    pieces = [
        number for token, number in one.tokenizer.get_vocab().items() if token.isalpha()
        and token.islower() and len(token) > 2
    ]  # fmt: skip
    for number in range(20):
        ids = (one.words[only_here[number]], one.words["good"], pieces[number])
        decoded = one.tokenizer.decode(list(ids)).strip()
        assert translation.text(ids) == decoded
        expected = tuple(other.tokens(other.lead + decoded))
        assert translation(ids) == expected
        assert translation(ids) is translation._known[ids]
    assert any(len(found) != 3 for found in translation._known.values())


def by_text(problem: HardProblem, alias: str, ids: torch.Tensor) -> list[tuple[float, float]]:
    """Score and loss of prompts on an evaluator, each read anew from its text."""
    source, judge = problem.source.backbone, problem.evaluators[alias]
    found = []
    for prompt in ids.tolist():
        text = source.tokenizer.decode(prompt).strip()
        tokens = judge.backbone.tokens(judge.backbone.lead + text)
        vectors = judge.backbone.embeddings[tokens][None]
        logits = judge.backbone.split_logits(judge.validation, judge.label_ids, vectors)[0]
        gold = judge.validation.gold
        loss = float(torch.nn.functional.cross_entropy(logits, gold))
        found.append((float((logits.argmax(-1) == gold).double().mean()), loss))
    return found


@cache
def brute_force(
    alias: str,
) -> tuple[HardProblem, torch.Tensor, list[tuple[float, float]], list[tuple[float, float]]]:
    """A problem, all prompts of two of six words, and how its evaluator and its source judge."""
    problem = sample_problem(2, same=True)
    words = problem.source.backbone.words
    allowed = sorted(words[word] for word in TINY_WORDS)
    prompts = torch.tensor(list(itertools.product(allowed, repeat=2)))
    own = replace(problem, evaluators={alias: problem.source})
    return problem, prompts, by_text(problem, alias, prompts), by_text(own, alias, prompts)


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["evaluator", "mean"])
def test_the_best_of_all_prompts_is_found(choice: str) -> None:
    """By brute force, judged by the evaluator or by both."""
    alias = "pocket-bert"
    problem, prompts, judged, own = brute_force(alias)
    allowed = prompts.unique()
    if choice == "mean":
        judged = [
            ((one[0] + two[0]) / 2, (one[1] + two[1]) / 2)
            for one, two in zip(judged, own, strict=True)
        ]
    ranked = sorted(range(36), key=lambda n: (-round(judged[n][0], 6), judged[n][1]))
    settings = MixedSettings(
        prompt_length=2, steps=8, batch_size=12, accumulation=2, candidates=5, choice=choice
    )
    replicas = [HardReplica(seed, allowed, alias) for seed in range(4)]
    found = mixed.search(problem, replicas, settings)
    if choice == "evaluator":
        assert tuple(prompts[ranked[0]].tolist()) in [item.ids for item in found]
    place = {tuple(ids): number for number, ids in enumerate(prompts.tolist())}
    for item in found:
        number = place[item.ids]
        assert ranked.index(number) < 18, "no seed ends among the worse half"
        assert item.validation == pytest.approx(own[number][0])
        whole = [line for line in item.curve if line["step"] == item.step]
        assert whole[0]["validation"] == pytest.approx(judged[number][0])
        assert whole[0]["loss"] == pytest.approx(judged[number][1], abs=1e-4)


@pytest.mark.slow
def test_each_replica_has_its_evaluator() -> None:
    """A stack over several evaluators is each of them by itself, and progress goes through."""
    problem = sample_problem(2)
    problem = replace(problem, evaluators={**problem.evaluators, "itself": problem.source})
    allowed = words_of(100, 0)
    names = ["itself", "pocket-bert", "itself"]
    replicas = [HardReplica(seed, allowed, name) for seed, name in enumerate(names)]
    told: list[tuple[int, int]] = []
    together = mixed.search(
        problem, replicas, SHORT, lambda step, steps: told.append((step, steps))
    )
    assert told == [(step, 8) for step in range(1, 9)]
    for replica, stacked in zip(replicas, together, strict=True):
        (alone,) = mixed.search(problem, [replica], SHORT)
        assert (alone.ids, alone.step) == (stacked.ids, stacked.step)
        assert alone.validation == stacked.validation


@pytest.mark.parametrize("name", [None, "other"])
def test_an_unknown_evaluator_is_one_sentence(name: str | None) -> None:
    with pytest.raises(InputError, match=r"^evaluator: found .*; allowed: pocket-bert$"):
        mixed.search(sample_problem(2), [HardReplica(0, words_of(9, 0), name)], SHORT)


def test_a_prompt_without_room_on_the_evaluator() -> None:
    """The start is an error that names the setting; a candidate is passed over."""

    def reading(name: str, text: str, slots: int = 2) -> TaskModel:
        backbone = tiny(name)
        data = backbone.read([text, "bad"], [1, 0], Layout(slots), "t")
        return TaskModel(backbone, backbone.labels(["bad", "good"], "t"), data, data)

    source, judge = reading("gpt2", "good"), reading("bert", "good " * 80)
    assert int(judge.train.lengths.max()) == 64, "texts fill the evaluator"
    one, other = source.backbone, judge.backbone
    short = [word for word in one.words if word in other.words][:20]
    split = [word for word in one.words if len(other.tokens(word)) > 1][:20]
    problem = HardProblem(source, (), "accuracy", {"bert": judge})
    whole = torch.tensor(sorted(one.words[word] for word in split))
    with pytest.raises(InputError, match=r"^text_tokens: model 'bert' has no room .*; allowed: "):
        mixed.search(problem, [HardReplica(0, whole, "bert")], SHORT)
    both = torch.tensor(sorted(one.words[word] for word in [*short, *split]))
    seeds = [
        seed
        for seed in range(40)
        if all(
            int(number) in {one.words[word] for word in short} for number in mixed_start(seed, both)
        )
    ]
    found = mixed.search(problem, [HardReplica(seeds[0], both, "bert")], SHORT)
    assert set(found[0].ids) <= {one.words[word] for word in short}


def mixed_start(seed: int, allowed: torch.Tensor) -> list[int]:
    from trainables.hard.methods.random_words import random_prompts

    start: list[int] = random_prompts([HardReplica(seed, allowed)], 2)[0].tolist()
    return start
