"""Which tokens a hard prompt may use, and how agreements are kept."""

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainables.tiny import ARCHITECTURES, tiny
from trainables.backbones import Backbone
from trainables.core.settings.hard import HardSettings, Vocabulary
from trainables.errors import InputError
from trainables.files.cache import keep, recall
from trainables.hard import agreed
from trainables.hard.agreed import fingerprint, model_agreement
from trainables.hard.allowed import CHOICES, allowed_tokens, comparison_of
from trainables.words.agreement import Agreement, Comparison, neighbour_agreement
from trainables.words.vocabulary import common_vocabulary, usable_tokens

VOCABULARIES = get_args(Vocabulary)
SMALL = HardSettings(s=50, k=4, sample_size=200)


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    agreed._resident.clear()


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The K of each similarity pass that is made."""
    made: list[tuple[int, ...]] = []
    compute = agreed.neighbour_agreement

    def watched(tables: Any, ks: Any, comparison: Any) -> dict[int, Agreement]:
        made.append(tuple(ks))
        return compute(tables, ks, comparison)

    monkeypatch.setattr(agreed, "neighbour_agreement", watched)
    return made


def models() -> list[Backbone]:
    return [tiny("gpt2"), tiny("bert"), tiny("llama")]


def ids(found: Any) -> list[int]:
    return [int(number) for number in found.ids]


def test_every_vocabulary_of_the_settings_has_a_choice() -> None:
    assert tuple(CHOICES) == VOCABULARIES


def test_settings_say_the_comparison_in_full() -> None:
    wanted = HardSettings(
        agreement="sampled",
        k_scale="literal",
        sample_size=99,
        samples=3,
        sample_seed=7,
        include_self=True,
        center="mean",
    )
    assert asdict(comparison_of(wanted)) == asdict(
        Comparison("sampled", "literal", 99, 3, 7, True, "mean")
    )
    assert comparison_of(HardSettings()) == Comparison()


@pytest.mark.parametrize("word_start", [True, False])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_all_are_the_usable_tokens_of_the_source(name: str, word_start: bool) -> None:
    source = tiny(name)
    found = allowed_tokens([source], replace(SMALL, vocabulary="all", word_start=word_start), 0)
    assert ids(found) == list(usable_tokens(source, word_start))
    assert found.used == found.available
    assert (found.asked, found.common, found.agreement, found.warning) == (None, None, None, None)


@pytest.mark.slow
@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_ids_are_sorted_usable_and_as_many_as_asked(vocabulary: str) -> None:
    found = allowed_tokens(models(), replace(SMALL, vocabulary=vocabulary), 0)
    assert ids(found) == sorted(set(ids(found)))
    assert set(ids(found)) <= set(usable_tokens(models()[0]))
    assert found.ids.dtype == torch.long
    if vocabulary != "all":
        assert found.used == 50
    assert found.warning is None


@pytest.mark.slow
@pytest.mark.parametrize("vocabulary", ["common", "agreement"])
def test_shared_words_are_one_token_in_every_model(vocabulary: str) -> None:
    group = models()
    found = allowed_tokens(group, replace(SMALL, vocabulary=vocabulary), 0)
    shared = common_vocabulary(group)
    assert set(ids(found)) <= set(shared.ids[0])
    assert found.available == found.common == len(shared)
    back = {number: word for word, number in group[0].words.items()}
    for number in ids(found):
        assert all(back[number] in model.words for model in group)


@pytest.mark.slow
def test_agreement_takes_the_words_of_the_highest_scores() -> None:
    group = models()
    shared = common_vocabulary(group)
    found = allowed_tokens(group, SMALL, 0)
    tables = [m.embeddings[torch.tensor(i)] for m, i in zip(group, shared.ids, strict=True)]
    scores = neighbour_agreement(tables, [4], Comparison(sample_size=200))[4].scores
    ranked = sorted(range(len(shared)), key=lambda place: (-scores[place], shared.words[place]))
    assert ids(found) == sorted(shared.ids[0][place] for place in ranked[:50])
    assert found.agreement is not None
    assert found.agreement.neighbours == round(4 * len(shared) / 200)


@pytest.mark.slow
@given(st.sampled_from(VOCABULARIES), st.integers(1, 900), st.integers(0, 900), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_more_words_contain_the_fewer(vocabulary: str, s: int, more: int, seed: int) -> None:
    group = [tiny("gpt2"), tiny("bert")]
    few = allowed_tokens(group, replace(SMALL, vocabulary=vocabulary, s=s), seed)
    many = allowed_tokens(group, replace(SMALL, vocabulary=vocabulary, s=s + more), seed)
    assert set(ids(few)) <= set(ids(many))
    assert vocabulary == "all" or many.used - few.used == more


@pytest.mark.slow
@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_the_order_of_counterparts_does_not_matter(vocabulary: str) -> None:
    one, two, three = models()
    wanted = replace(SMALL, vocabulary=vocabulary)
    found = allowed_tokens([one, two, three], wanted, 3)
    agreed._resident.clear()
    again = allowed_tokens([one, three, two], wanted, 3)
    assert ids(found) == ids(again)
    if found.agreement and again.agreement:
        assert found.agreement.hubness[0] == again.agreement.hubness[0]
        assert found.agreement.hubness[1:] == again.agreement.hubness[:0:-1]


@pytest.mark.parametrize("vocabulary", ["random", "common"])
def test_draws_are_new_ones_for_each_seed(vocabulary: str) -> None:
    wanted = replace(SMALL, vocabulary=vocabulary)
    seen = [ids(allowed_tokens(models(), wanted, seed)) for seed in (0, 1, 2, 0)]
    assert seen[0] == seen[3]
    assert len({tuple(one) for one in seen}) == 3
    torch.randn(3)
    assert ids(allowed_tokens(models(), wanted, 0)) == seen[0]


@pytest.mark.slow
@pytest.mark.parametrize("vocabulary", ["all", "agreement"])
def test_what_is_not_drawn_is_the_same_for_each_seed(vocabulary: str) -> None:
    wanted = replace(SMALL, vocabulary=vocabulary)
    assert ids(allowed_tokens(models(), wanted, 0)) == ids(allowed_tokens(models(), wanted, 1))


@pytest.mark.slow
@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_label_words_are_left_out_and_made_up_for(vocabulary: str) -> None:
    plain = replace(SMALL, vocabulary=vocabulary)
    before = allowed_tokens(models(), plain, 0)
    labels = ids(before)[10:13]
    assert ids(allowed_tokens(models(), plain, 0, labels)) == ids(before)
    after = allowed_tokens(models(), replace(plain, exclude_labels=True), 0, labels)
    assert not set(labels) & set(ids(after))
    assert set(ids(before)) - set(labels) <= set(ids(after))
    assert after.available == before.available - 3
    assert vocabulary == "all" or after.used == 50


@pytest.mark.slow
@pytest.mark.parametrize("vocabulary", ["random", "common", "agreement"])
def test_asking_for_too_many_takes_all_and_says_both_numbers(vocabulary: str) -> None:
    group = models()
    found = allowed_tokens(group, replace(SMALL, vocabulary=vocabulary, s=99_999), 0)
    assert found.used == found.available
    assert found.warning is not None
    assert found.warning.startswith(f"s: found 99999, but vocabulary {vocabulary!r} has only")
    assert f" {found.available} words " in found.warning
    assert "\n" not in found.warning


def test_too_many_neighbours_are_refused_before_anything_is_computed(
    passes: list[tuple[int, ...]],
) -> None:
    with pytest.raises(InputError, match=r"^k: found 5000 neighbours with \d+ common words"):
        allowed_tokens(models(), replace(SMALL, k=5000, sample_size=8192), 0)
    assert not passes


@pytest.mark.parametrize("vocabulary", ["common", "agreement"])
def test_a_counterpart_is_needed_and_another_model(vocabulary: str) -> None:
    wanted = replace(SMALL, vocabulary=vocabulary)
    with pytest.raises(InputError, match=f"counterparts: found none for vocabulary '{vocabulary}'"):
        allowed_tokens([tiny("gpt2")], wanted, 0)
    with pytest.raises(InputError, match="same words and embeddings as 'gpt2'"):
        allowed_tokens([tiny("gpt2"), tiny("bert"), tiny("gpt2")], wanted, 0)


class Lost:
    """A model with one word that no other has."""

    alias = "lost"
    device = "cpu"

    def __init__(self) -> None:
        self.words = {"qqqqqqqq": 0}
        self.embeddings = torch.zeros(1, 4)


def test_models_without_a_common_word_are_named() -> None:
    lost: Any = Lost()
    with pytest.raises(InputError, match="models gpt2, lost: no word is a single token in all"):
        allowed_tokens([tiny("gpt2"), lost], SMALL, 0)


def test_no_word_left_beside_the_labels_is_refused() -> None:
    lost: Any = Lost()
    wanted = replace(SMALL, vocabulary="all", exclude_labels=True)
    with pytest.raises(InputError, match="leaves none of the 1 words of model 'lost'"):
        allowed_tokens([lost], wanted, 0, [0])


@pytest.mark.slow
def test_sweeps_over_s_seeds_and_labels_compare_once(passes: list[tuple[int, ...]]) -> None:
    for s in (10, 50, 200):
        for seed in (0, 1):
            allowed_tokens(models(), replace(SMALL, s=s), seed)
    allowed_tokens(models(), replace(SMALL, exclude_labels=True), 0, [300])
    assert passes == [(4,)]


@pytest.mark.slow
def test_a_sweep_over_k_shares_the_pass(passes: list[tuple[int, ...]]) -> None:
    # 5000 is more than there are words: told when it is its turn, not before.
    for k in (4, 8, 2):
        allowed_tokens(models(), replace(SMALL, k=k), 0, ks=[2, 4, 8, 5000])
    assert passes == [(2, 4, 8)]
    allowed_tokens(models(), replace(SMALL, k=5), 0)
    allowed_tokens(models(), replace(SMALL, center="mean"), 0)
    assert passes[1:] == [(5,), (4,)]


@pytest.mark.slow
def test_a_new_process_finds_what_the_last_one_left(
    tmp_path: Path, passes: list[tuple[int, ...]]
) -> None:
    folder = tmp_path / "new" / "agreements"
    first = model_agreement(models(), [4, 9], Comparison(), folder)
    assert len(list(folder.iterdir())) == 2
    agreed._resident.clear()
    one, two, three = models()
    again = model_agreement([three, one, two], [9, 4], Comparison(), folder)
    assert passes == [(4, 9)]
    for k in (4, 9):
        assert torch.equal(first[k].scores, again[k].scores)
        assert first[k].neighbours == again[k].neighbours
        assert first[k].among == again[k].among
        assert again[k].hubness == tuple(first[k].hubness[place] for place in (2, 0, 1))
    agreed._resident.clear()
    model_agreement(models(), [4, 5], Comparison(), folder)
    assert passes == [(4, 9), (5,)]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other_record(path: Path) -> None:
    """Whole, but of another K."""
    content = recall(path)
    assert content is not None
    keep(path, content.replace(b'"k": 4', b'"k": 5'))


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut, flip, empty, other_record])
def test_a_damaged_file_is_computed_again(
    damage: Any, tmp_path: Path, passes: list[tuple[int, ...]]
) -> None:
    first = model_agreement(models(), [4], Comparison(), tmp_path)[4]
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    damage(path)
    agreed._resident.clear()
    again = model_agreement(models(), [4], Comparison(), tmp_path)[4]
    assert passes == [(4,), (4,)]
    assert torch.equal(first.scores, again.scores)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [whole]


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    found = model_agreement(models(), [4], Comparison(), tmp_path / "file")
    assert len(found[4].scores)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
def test_other_weights_or_words_are_another_model(tmp_path: Path) -> None:
    one, other = tiny("gpt2"), tiny("gpt2", seed=1)
    assert one.words == other.words
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) == fingerprint(one)
    renamed: Any = Lost()
    renamed.embeddings, renamed.words = one.embeddings, dict(list(one.words.items())[1:])
    assert fingerprint(renamed) != fingerprint(one)
    model_agreement([one, tiny("bert")], [4], Comparison(), tmp_path)
    model_agreement([other, tiny("bert")], [4], Comparison(), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_process_keeps_no_more_than_a_number_of_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agreed, "RESIDENT", 2)
    found = model_agreement(models(), [2, 3, 4, 5], Comparison())
    assert sorted(found) == [2, 3, 4, 5]
    assert len(agreed._resident) == 2


_PRINT = """
from tests.trainables.test_allowed import SMALL, models
from trainables.backbones import load_reader
from trainables.hard.allowed import allowed_tokens
from trainables.models.names import resolve_model
from trainables.words.vocabulary import common_vocabulary, usable_tokens
from dataclasses import replace
readers = [load_reader(resolve_model(f"pocket-{name}")) for name in ("gpt2", "bert", "llama")]
print(common_vocabulary(readers), *(usable_tokens(reader, False) for reader in readers))
for vocabulary in ("all", "random", "common", "agreement"):
    found = allowed_tokens(models(), replace(SMALL, vocabulary=vocabulary), 1)
    print(vocabulary, found.ids.tolist())
"""


@pytest.mark.slow
def test_words_and_their_choice_do_not_depend_on_the_hash_seed() -> None:
    root = Path(__file__).resolve().parents[2]
    seed = "0" if os.environ.get("PYTHONHASHSEED") == "4711" else "4711"
    other = subprocess.run(
        [sys.executable, "-c", _PRINT],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(_PRINT, {})
    one = printed.getvalue()
    assert one == other
    assert "agreement [" in one
