"""Masks: the literal hash, rates, independence, and that nothing but the key and place matters."""

import hashlib
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainables.compute.masks import LEVELS, RowMasks, rounded, row_keys

EXAMPLES = torch.arange(80) % 40
KEYS = row_keys("model", [0, 1], 3, EXAMPLES)
W64, W32 = (1 << 64) - 1, (1 << 32) - 1


def splitmix(value: int) -> int:
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & W64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & W64
    return value ^ (value >> 31)


def lowbias(value: int) -> int:
    value = ((value ^ (value >> 16)) * 0x7FEB352D) & W32
    value = ((value ^ (value >> 15)) * 0x846CA68B) & W32
    return value ^ (value >> 16)


def literal_kept(key: int, place: int, rate: float, at: tuple[int, int, int], heads: int) -> bool:
    """One element, in Python's integers: head, query (or position) and key (or channel)."""
    head, query, column = at
    words = splitmix((key + (place + 1) * 0x9E3779B97F4A7C15) & W64)
    offset, factor = words & W32, (words >> 32) | 1
    word = lowbias(((query * (1 << 14) + column // 2) * heads + head) & W32)
    word = ((word ^ offset) * factor) & W32
    word = ((word ^ (word >> 15)) * 0x846CA68B) & W32
    word ^= word >> 16
    half = word >> 16 if column % 2 else word & 0xFFFF
    signed = half - 65536 if half >> 15 else half
    return signed >= round(rate * LEVELS) - LEVELS // 2


def test_keys_are_the_literal_hash() -> None:
    found = row_keys("m", [5, 6, 5], 9, torch.tensor([0, 4, 2, 2, 0, 4])).tolist()
    for key, seed, example in zip(found, (5, 5, 6, 6, 5, 5), (0, 4, 2, 2, 0, 4), strict=True):
        digest = hashlib.sha256(f"dropout|m|{seed}|9".encode()).digest()
        stream = int.from_bytes(digest[:8], "big") >> 1
        assert key & W64 == splitmix((stream + example * 0x9E3779B97F4A7C15) & W64)
    assert found[0] == found[4], "one seed and example, wherever it stands"
    assert len(set(found)) == 3


@pytest.mark.parametrize("shape", [(3, 5, 7), (3, 2, 5, 5)])
def test_masks_are_the_literal_hash(shape: tuple[int, ...]) -> None:
    keys = KEYS[:3]
    masks = RowMasks(keys)
    for place in range(66):
        kept = masks.kept(shape, 0.3)
        if place not in (0, 1, 63, 64, 65):
            continue
        full = kept if kept.ndim == 4 else kept[:, None]
        heads = full.shape[1]
        expected = [
            [literal_kept(key, place, 0.3, (h, q, c), heads) for h in range(heads)
             for q in range(full.shape[2]) for c in range(full.shape[3])]
            for key in keys.tolist()
        ]  # fmt: skip
        assert full.flatten(1).tolist() == expected


def test_padding_and_neighbours_change_no_mask() -> None:
    whole = RowMasks(KEYS)
    hidden, attention = whole.kept((80, 12, 9), 0.4), whole.kept((80, 3, 12, 12), 0.4)
    some = torch.tensor([70, 3, 3, 11])
    few = RowMasks(KEYS[some])
    assert torch.equal(few.kept((4, 7, 9), 0.4), hidden[some, :7])
    assert torch.equal(few.kept((4, 3, 7, 7), 0.4), attention[some, :, :7, :7])
    for masks in (RowMasks(KEYS[some]), RowMasks(KEYS, some)):
        flat = masks.kept((4 * 7, 9), 0.4)
        assert torch.equal(flat.view(4, 7, 9), hidden[some, :7]), "as OPT flattens them"
        assert torch.equal(masks.kept((4, 3, 7, 7), 0.4), attention[some, :, :7, :7])
    with pytest.raises(ValueError, match=r"shape \(1, 7, 9\) where 4 rows"):
        few.kept((1, 7, 9), 0.4)


def near(share: float, rate: float, count: int) -> bool:
    """Within five standard errors."""
    return abs(share - rate) < 5 * math.sqrt(rate * (1 - rate) / count)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9])
def test_the_share_that_is_dropped_is_the_rate(rate: float) -> None:
    assert abs(rounded(rate) - rate) < 1e-5
    masks = RowMasks(KEYS)
    for shape in ((80, 50, 64), (80, 4, 50, 50)):
        gone = ~masks.kept(shape, rate)
        assert near(float(gone.float().mean()), rate, gone.numel())
        # In each row, position, channel, query and key too.
        for axis in range(gone.ndim):
            others = [other for other in range(gone.ndim) if other != axis]
            counts = gone.sum(others).float()
            size = gone.numel() // gone.shape[axis]
            spread = (counts - size * rate) / math.sqrt(size * rate * (1 - rate))
            assert spread.abs().max() < 5
            assert 0.5 < float(spread.var()) < 1.8 or len(counts) < 40


def test_masks_are_independent() -> None:
    """No correlation between rows, places, steps, seeds, models, neighbours or halves of words."""
    rate, shape = 0.3, (80, 40, 64)
    masks = RowMasks(KEYS)
    one, two = masks.kept(shape, rate), masks.kept(shape, rate)
    others = [
        two,
        one.roll(1, 0),
        one.roll(1, 1),
        one.roll(1, 2),
        one.roll(2, 2),
        one.roll(32, 2),
        RowMasks(row_keys("model", [0, 1], 4, EXAMPLES)).kept(shape, rate),
        RowMasks(row_keys("model", [2, 3], 3, EXAMPLES)).kept(shape, rate),
        RowMasks(row_keys("another", [0, 1], 3, EXAMPLES)).kept(shape, rate),
    ]
    value = one.double() - (1 - rate)
    for other in others:
        product = value * (other.double() - (1 - rate)) / (rate * (1 - rate))
        assert abs(float(product.mean())) * math.sqrt(product.numel()) < 5
    # Of three and of four at the corners of a rectangle: hashes that add up fail here.
    corners = [value, value.roll(3, 1), value.roll(5, 2), value.roll((3, 5), (1, 2))]
    for chosen in (corners[:3], corners):
        product = torch.stack(chosen).prod(0) / (rate * (1 - rate)) ** (len(chosen) / 2)
        assert abs(float(product.mean())) / float(product.std()) * math.sqrt(product.numel()) < 5
    across = [value, value.roll(1, 0), value.roll(5, 2), value.roll((1, 5), (0, 2))]
    product = torch.stack(across).prod(0) / (rate * (1 - rate)) ** 2
    assert abs(float(product.mean())) / float(product.std()) * math.sqrt(product.numel()) < 5


def test_dropout_scales_what_it_keeps_and_lets_through_its_gradient() -> None:
    values = torch.randn(80, 6, 8, requires_grad=True)
    layer = nn.Dropout(0.25)
    with RowMasks(KEYS):
        found = layer(values)
        again = F.dropout(values, 0.25, training=True)
        assert F.dropout(values, 0.25, training=False) is values
        assert layer.eval()(values) is values
    kept = RowMasks(KEYS).kept(values.shape, 0.25)
    expected = torch.where(kept, values / 0.75, 0.0)
    torch.testing.assert_close(found, expected)
    assert not torch.equal(found, again), "the next place of the model"
    weight = torch.randn(values.shape)
    (slope,) = torch.autograd.grad((found * weight).sum(), values)
    torch.testing.assert_close(slope, torch.where(kept, weight / 0.75, 0.0))
    with RowMasks(KEYS):
        assert not F.dropout(values, 1.0, training=True).any()
    assert abs(float(F.dropout(torch.ones(10), 0.0).sum()) - 10) < 1e-6


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("given", [None, "bool", "float"])
@pytest.mark.parametrize("groups", [1, 2])
def test_attention_is_torchs_but_for_its_masks(
    causal: bool, given: str | None, groups: int
) -> None:
    if causal and given:
        return
    torch.manual_seed(0)
    query = torch.randn(80, 4, 6, 8, requires_grad=True)
    key, value = (torch.randn(80, 4 // groups, 6, 8) for _ in "kv")
    allowed = torch.rand(80, 1, 1, 6) > 0.3
    allowed[..., 0] = True
    mask = {None: None, "bool": allowed, "float": torch.randn(80, 4, 6, 6)}[given]
    more = {"attn_mask": mask, "is_causal": causal, "scale": 0.3, "enable_gqa": groups > 1}
    calm = F.scaled_dot_product_attention(query, key, value, **more)  # type: ignore[arg-type]
    with RowMasks(KEYS):
        same = F.scaled_dot_product_attention(query, key, value, **more)  # type: ignore[arg-type]
        tiny = F.scaled_dot_product_attention(query, key, value, dropout_p=1e-9, **more)  # type: ignore[arg-type]
        found = F.scaled_dot_product_attention(query, key, value, dropout_p=0.3, **more)  # type: ignore[arg-type]
    torch.testing.assert_close(same, calm)
    torch.testing.assert_close(tiny, calm, atol=1e-5, rtol=1e-5)
    # Shares of every key come out where values are one-hot.
    shares = F.scaled_dot_product_attention(
        query,
        key,
        torch.eye(6).expand(80, 4 // groups, 6, 6),
        **more,  # type: ignore[arg-type]
    )
    masks = RowMasks(KEYS)
    masks.kept((80, 4, 6, 6), 1e-9)
    dropped = shares * masks.kept((80, 4, 6, 6), 0.3) / (1 - rounded(0.3))
    expected = dropped @ value.repeat_interleave(groups, dim=1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_no_layer_is_left_out_for_a_whole_pass() -> None:
    state = torch.get_rng_state()
    with RowMasks(KEYS):
        assert float(torch.rand([])) == 1.0
    assert torch.equal(torch.get_rng_state(), state)
