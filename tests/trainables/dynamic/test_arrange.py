"""Rows are put together as slow loops say; the gradient of a choice is that of all arrangements."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from tests.trainables.dynamic.guided import (
    LENGTH,
    TEXTS,
    chosen_everywhere,
    guide_of,
    labels_of,
    matrices,
    rows_of,
    static_rows,
    tiny,
)
from trainables.backbones import Backbone, Layout
from trainables.dynamic.arrange import places

NAMES = ("bert", "gpt2", "t5", "roberta")


def slow_order(begin: list[str], text: list[str], rest: list[str], m: int, j: int, kept: int):  # type: ignore[no-untyped-def]
    """A row by loops: the first vectors, the text, the last min(j, l) of those that are kept."""
    vectors = [f"p{number}" for number in range(kept)]
    front = kept - min(j, kept)
    row = list(begin)
    for number in range(front):
        row.append(vectors[number])
    row += text
    for number in range(front, kept):
        row.append(vectors[number])
    return row + rest


@pytest.mark.parametrize("kept", range(1, LENGTH + 1))
@pytest.mark.parametrize("j", range(LENGTH + 1))
def test_places_are_those_of_slow_loops(j: int, kept: int) -> None:
    begin, text, rest = ["cls"], ["a", "b", "c", "d"], ["mask", "sep"]
    read = [*begin, *(f"p{number}" for number in range(LENGTH)), *text, *rest, "pad", "pad"]
    one = torch.tensor([1])
    found, late = places(one * j, one * kept, one, one * (1 + LENGTH + 4), LENGTH, len(read))
    expected = slow_order(begin, text, rest, LENGTH, j, kept)
    assert [read[place] for place in found[0].tolist()][: len(expected)] == expected
    moved = [read[place] for place, is_late in zip(found[0], late[0], strict=True) if is_late]
    assert moved == [f"p{number}" for number in range(kept - min(j, kept), kept)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("j", "position"), [(0, "prefix"), (LENGTH, "infix")])
def test_all_before_and_all_behind_are_the_static_positions(
    name: str, j: int, position: str
) -> None:
    backbone = tiny(name)
    guide, prompt = chosen_everywhere(backbone, ("position",), position=j)
    labels = labels_of(backbone)
    mine = backbone.split_logits(rows_of(backbone, guide), labels, prompt)
    static = static_rows(backbone, LENGTH, position)
    theirs = backbone.split_logits(replace(static, begin=None), labels, prompt[:, :LENGTH])
    assert torch.equal(mine, theirs)


@pytest.mark.parametrize("name", NAMES)
def test_a_shorter_prompt_is_one_that_was_never_longer(name: str) -> None:
    backbone = tiny(name)
    labels = labels_of(backbone)
    for kept in range(1, LENGTH + 1):
        guide, prompt = chosen_everywhere(backbone, ("length",), length=LENGTH - kept)
        mine = backbone.split_logits(rows_of(backbone, guide), labels, prompt)
        static = replace(static_rows(backbone, kept, "prefix"), begin=None)
        theirs = backbone.split_logits(static, labels, prompt[:, :kept])
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_each_text_is_read_as_is_decided_about_it(name: str) -> None:
    backbone = tiny(name)
    guide = guide_of(backbone)
    data, prompts, labels = (
        rows_of(backbone, guide),
        matrices(guide, 3, 2, 3.0),
        labels_of(backbone),
    )
    together = backbone.split_logits(data, labels, prompts)
    assert torch.equal(together, backbone.split_logits(data, labels, prompts))
    assert data.guided is not None
    met: set[tuple[int, int]] = set()
    for replica in range(3):
        owner = torch.zeros(len(data), dtype=torch.long)
        found = data.guided.decided(prompts[replica][None], owner)
        for row in range(len(data)):
            behind, kept = int(found.behind[row]), int(found.kept[row])
            logits = by_hand(backbone, TEXTS[row], found.vectors[row], behind, kept)
            torch.testing.assert_close(together[replica, row], logits, atol=1e-5, rtol=1e-4)
        met |= set(zip(found.behind.tolist(), found.kept.tolist(), strict=True))
    assert len(met) > 3


def by_hand(backbone: Backbone, text: str, vectors: torch.Tensor, j: int, kept: int):  # type: ignore[no-untyped-def]
    """Label logits of one text, its input put together vector by vector."""
    plain = backbone.read([text], [0], Layout())
    ids, answer = plain.ids[0].tolist(), int(plain.answers[0])
    start = len(backbone.begin)
    end = answer if backbone.family.masked else len(ids)
    embed = backbone.table
    front = kept - min(j, kept)
    parts = [embed[number] for number in ids[:start]]
    parts += [vectors[number] for number in range(front)]
    parts += [embed[number] for number in ids[start:end]]
    parts += [vectors[number] for number in range(front, kept)]
    parts += [embed[number] for number in ids[end:]]
    read = torch.stack(parts)[None]
    at = answer + kept
    mask = torch.ones(read.shape[:2], dtype=torch.long)
    logits = backbone.family.library_reading(read, mask, torch.tensor([at]))[1]
    return logits[0, labels_of(backbone)]


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_the_gradient_of_a_choice_is_that_of_the_sum_over_all_arrangements(name: str) -> None:
    """Brute force: Σ_c a_c arrange_c as one tensor, in the decoder's or encoder's input."""
    backbone = tiny(name)
    guide = guide_of(backbone, ("position", "length"))
    data, labels = rows_of(backbone, guide), labels_of(backbone)
    assert data.guided is not None
    keys = torch.tensor([11, 12, 13, 14])
    data = replace(data, guided=data.guided.training(keys, 0.8))
    prompt = matrices(guide, 1, 3).requires_grad_()
    owner = torch.zeros(len(data), dtype=torch.long)
    logits = backbone.row_logits(data, labels, prompt, owner)
    loss = F.cross_entropy(logits, data.gold, reduction="none").sum()
    (mine,) = torch.autograd.grad(loss, prompt)

    again = prompt.detach().requires_grad_()
    total = torch.zeros(())
    for row in range(len(data)):
        one = data.take(torch.tensor([row]))
        assert one.guided is not None
        found = one.guided.decided(again, owner[:1])
        j, kept = int(found.behind[0]), int(found.kept[0])
        read = backbone.table[one.ids[0]]
        slot, end = int(one.slots[0]), int(one.guided.ends[0])
        row_read = torch.cat([read[:slot], found.vectors[0], read[slot + LENGTH :]])
        hard = slow_row(row_read, slot, end, j, kept)
        soft = hard
        for part, orders in (
            ("position", [(c, kept) for c in range(LENGTH + 1)]),
            ("length", [(j, LENGTH - c) for c in range(LENGTH)]),
        ):
            for c, order in enumerate(orders):
                share = found.shares[part][0, c]
                other = slow_row(row_read.detach(), slot, end, *order)[: len(hard)]
                other = F.pad(other, (0, 0, 0, len(hard) - len(other)))
                soft = soft + (share - share.detach()) * other
        answer = one.answers if one.decoder is not None else one.answers - (LENGTH - kept)
        mask = torch.ones(1, len(hard), dtype=torch.long)
        every = backbone.family.library_reading(soft[None], mask, answer, **one.beside)[1]
        total = total + F.cross_entropy(every[:, labels], one.gold, reduction="sum")
    (theirs,) = torch.autograd.grad(total, again)
    torch.testing.assert_close(loss.detach(), total.detach(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-3)
    assert float(mine[:, guide.vectors :].abs().sum()) > 0


def slow_row(read: torch.Tensor, slot: int, end: int, j: int, kept: int) -> torch.Tensor:
    """A row [L, d] put together vector by vector."""
    front = kept - min(j, kept)
    parts = [*read[:slot], *read[slot : slot + front], *read[slot + LENGTH : end]]
    return torch.stack([*parts, *read[slot + front : slot + kept], *read[end:]])


def test_a_pool_of_equal_prompts_is_that_prompt() -> None:
    backbone = tiny("bert")
    guide = guide_of(backbone, ("representation",))
    single = torch.randn(1, LENGTH, guide.width)
    heads = [torch.randn(1, *head.shape) for head in guide.blank()]
    prompt = guide.packed(torch.cat([single, single], 1), heads)
    labels = labels_of(backbone)
    mine = backbone.split_logits(rows_of(backbone, guide), labels, prompt)
    theirs = backbone.split_logits(static_rows(backbone, LENGTH, "prefix"), labels, single)
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_vectors_behind_the_second_text_of_a_pair_are_of_its_segment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backbone = tiny("bert")
    monkeypatch.setattr(backbone, "second_type", 1)
    guide, prompt = chosen_everywhere(backbone, ("position",), position=LENGTH)
    pairs = [("the film was good", "we liked it"), ("bad", "never again , no")]
    data = backbone.read(pairs, [0, 1], Layout(LENGTH, guide=guide))
    static = backbone.read(pairs, [0, 1], Layout(LENGTH, "infix"))
    assert data.types is not None
    labels = labels_of(backbone)
    mine = backbone.split_logits(data, labels, prompt)
    assert torch.equal(mine, backbone.split_logits(static, labels, prompt[:, :LENGTH]))
