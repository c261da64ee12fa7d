"""Dropout whose masks are a pure function of what is read, not of a generator's state.

Every element of every mask is a hash of its row's key, the place in the model and its own position
within the row. The key is made from seed, step, model and example (:func:`row_keys`). So a row
meets the same masks whatever is read beside it, however rows are cut into passes and padded, and
on every device.

The hash is built from published mixers: splitmix64 (Steele, Lea & Flood 2014) for keys and places,
and of 32 bits the two multiplications of lowbias32 (Wellons 2018), the first of them by an odd
number of the row's own. Each word of 32 bits decides two elements by 16 bits each.

Shapes: n rows of u keys, L positions, h channels, H heads, Q queries, K keys.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from trainables.compute.passes import additive
from trainables.core.seeds import seeded

LEVELS = 1 << 16
"""A rate is rounded to a multiple of 1 / LEVELS; what is kept is scaled by the rounded one."""

STRIDE = 1 << 14
"""Words between two positions of a row: up to twice as many channels, or keys, are told apart."""

_PLACES = 64
"""Words are made for so many places of the model at a time."""


def _signed(number: int, bits: int) -> int:
    return number - (1 << bits) if number >> (bits - 1) else number


_GOLDEN = _signed(0x9E3779B97F4A7C15, 64)
_SPLITMIX = (_signed(0xBF58476D1CE4E5B9, 64), _signed(0x94D049BB133111EB, 64))
_PLACE_STEP = 0x9E3779B97F4A7C15
_NOISE = _signed(0xD1B54A32D192ED03, 64)
_LOWBIAS = (_signed(0x7FEB352D, 32), _signed(0x846CA68B, 32))


def _folded(values: torch.Tensor, shift: int) -> torch.Tensor:
    """Exclusive or of x and x >> shift, zeros shifted in: torch's integers are signed."""
    bits = 8 * values.element_size()
    return values ^ ((values >> shift) & ((1 << (bits - shift)) - 1))


def _mixed64(values: torch.Tensor) -> torch.Tensor:
    """The last steps of splitmix64 on int64."""
    values = _folded(values, 30) * _SPLITMIX[0]
    values = _folded(values, 27) * _SPLITMIX[1]
    return _folded(values, 31)


def _mixed32(values: torch.Tensor) -> torch.Tensor:
    """lowbias32 on int32."""
    values = _folded(values, 16) * _LOWBIAS[0]
    values = _folded(values, 15) * _LOWBIAS[1]
    return _folded(values, 16)


def row_keys(model: str, seeds: Sequence[int], step: int, examples: torch.Tensor) -> torch.Tensor:
    """Keys [R·B] of a step's rows.

    Replicas of one seed have the same keys for the same examples, whatever else they differ in.

    Args:
        model: the model's key: models of one seed drop out apart.
        seeds: of R replicas.
        examples: indices into the training split [R·B], those of replica 0 first.
    """
    streams = {seed: seeded("dropout", model, seed, step).initial_seed() for seed in set(seeds)}
    begin = torch.tensor([streams[seed] for seed in seeds])
    return _mixed64(begin[:, None] + _GOLDEN * examples.view(len(seeds), -1)).flatten()


def uniforms(keys: torch.Tensor, count: int, place: int = 0) -> torch.Tensor:
    """Uniform numbers in (0, 1) of rows [n, count], float32, a pure function of their keys.

    Args:
        keys: int64 [n].
        place: tells several draws of a row apart; none has words of dropout masks.
    """
    begin = _mixed64(_mixed64(keys ^ _NOISE) + _signed(place * _PLACE_STEP % (1 << 64), 64))
    words = _mixed64(begin[:, None] + _GOLDEN * torch.arange(1, count + 1, device=keys.device))
    return (((words >> 40) & 0xFFFFFF).float() + 0.5) / (1 << 24)


def rounded(rate: float) -> float:
    """The drop probability that a rate stands for."""
    return round(rate * LEVELS) / LEVELS


class RowMasks(TorchFunctionMode):
    """Within it every dropout of one forward pass takes its masks from the rows' keys.

    It stands in for torch's dropout and for that within torch's attention, in whatever library
    calls them. The first is place 0 of the model, the next one place 1, and so on.
    """

    def __init__(self, keys: torch.Tensor, owner: torch.Tensor | None = None) -> None:
        """Begin a forward pass.

        Args:
            keys: int64 [u], on the device of the model.
            owner: which of them is each row's [n]; None where each row has its own, n = u. Rows of
                one key share what is worked out for it.
        """
        super().__init__()
        self._keys, self._owner = keys, owner
        self._place = 0
        self._words: list[torch.Tensor] = []
        self._counters: dict[tuple[int, ...], torch.Tensor] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do the call, or what stands in for it."""
        instead = _INSTEAD.get(func, func)
        more = kwargs or {}
        return func(*args, **more) if instead is func else instead(self, *args, **more)

    def kept(self, shape: Sequence[int], rate: float) -> torch.Tensor:
        """Which elements the next place of the model keeps.

        Args:
            shape: [n, L, h] or [n, H, Q, K]; also [n·L, h], as some layers flatten their input.
            rate: drop probability.

        Returns:
            Booleans of that shape.

        Raises:
            ValueError: the shape does not begin with the rows.
        """
        count = len(self._keys if self._owner is None else self._owner)
        inner = tuple(shape[1:]) if len(shape) > 2 else (shape[0] // count, shape[1])
        if len(shape) not in (2, 3, 4) or shape[0] != count * (1 if len(shape) > 2 else inner[0]):
            raise ValueError(f"dropout of shape {tuple(shape)} where {count} rows are read")
        heads, places, width = (1, *inner) if len(inner) == 2 else inner
        offset, factor = self._next()
        words = self._counted(heads, places, -(-width // 2)) ^ offset[:, None, None, None]
        words *= factor[:, None, None, None]
        shifted = words >> 15
        words ^= shifted.bitwise_and_((1 << 17) - 1)
        words *= _LOWBIAS[1]
        torch.bitwise_right_shift(words, 16, out=shifted)
        words ^= shifted.bitwise_and_(LEVELS - 1)
        # Of signed halves, the lowest rate · LEVELS are dropped.
        lowest = round(rate * LEVELS) - LEVELS // 2
        kept = (words.view(torch.int16) >= lowest)[..., :width]
        if self._owner is not None:
            kept = kept.index_select(0, self._owner)
        return kept.reshape(shape)

    def _next(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Two words of each row [n], the second odd, for the place that is next."""
        block, within = divmod(self._place, _PLACES)
        self._place += 1
        if block == len(self._words):
            places = torch.arange(_PLACES, device=self._keys.device) + (1 + block * _PLACES)
            made = _mixed64(self._keys + _GOLDEN * places[:, None])
            self._words.append(made.view(torch.int32).view(_PLACES, -1, 2))
        return self._words[block][within, :, 0], self._words[block][within, :, 1] | 1

    def _counted(self, heads: int, places: int, width: int) -> torch.Tensor:
        """A word for every two elements of a row [H, Q, width], the same under any padding."""
        shape = (heads, places, width)
        if shape not in self._counters:
            every = (torch.arange(size, device=self._keys.device) for size in shape)
            head, place, pair = next(every)[:, None, None], next(every)[:, None], next(every)
            count = (place * STRIDE + pair) * heads + head
            self._counters[shape] = _mixed32(count.to(torch.int32))
        return self._counters[shape]

    def dropped(self, values: torch.Tensor, rate: float) -> torch.Tensor:
        """Values with some set to 0 and the others scaled, by the masks of the next place."""
        share = rounded(rate)
        if share >= 1:
            return values * 0.0
        result: torch.Tensor = _Dropped.apply(
            values, self.kept(values.shape, rate), 1.0 / (1.0 - share)
        )
        return result


class _Dropped(torch.autograd.Function):
    """Keeps a byte an element for the way back."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, kept: torch.Tensor, scale: float) -> torch.Tensor:
        ctx.save_for_backward(kept)
        ctx.scale = scale
        found: torch.Tensor = torch.ops.aten.native_dropout_backward(values, kept, scale)
        return found

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (kept,) = ctx.saved_tensors
        return torch.ops.aten.native_dropout_backward(slope, kept, ctx.scale), None, None


def _dropout(
    masks: RowMasks,
    input: torch.Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> torch.Tensor:
    """``torch.nn.functional.dropout``."""
    return masks.dropped(input, p) if training and p > 0 else input


def _attention(
    masks: RowMasks,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """``torch.nn.functional.scaled_dot_product_attention``, written out where it drops out."""
    if dropout_p == 0:
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask, 0.0, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    if enable_gqa:
        times = query.shape[1] // key.shape[1]
        key, value = (item.repeat_interleave(times, dim=1) for item in (key, value))
    scores = query @ key.mT
    if is_causal:
        attn_mask = scores.new_ones(scores.shape[-2:], dtype=torch.bool).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = additive(attn_mask, scores.dtype, float("-inf"))
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    # Both in one operation, on scores: there are fewer of them than of queries' elements.
    scores = scores * factor if attn_mask is None else torch.add(attn_mask, scores, alpha=factor)
    return masks.dropped(scores.softmax(-1), dropout_p) @ value


def _no_layer_left_out(masks: RowMasks, *size: Any, **kwargs: Any) -> torch.Tensor:
    """``torch.rand``, with which OPT leaves out a layer of a whole pass: no row could do that."""
    return torch.ones(*size, **kwargs)


_INSTEAD: dict[Any, Callable[..., torch.Tensor]] = {
    F.dropout: _dropout,
    F.scaled_dot_product_attention: _attention,
    torch.rand: _no_layer_left_out,
}
