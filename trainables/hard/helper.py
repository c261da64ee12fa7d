"""A causal language model that proposes words of another model's prompts.

Shapes: N rows, m prompt tokens, A words that may be proposed, e width of what the head's vocabulary
matrix is given.
"""

from collections.abc import Sequence

import torch

from trainables.backbones import Backbone, Encoded, Reader
from trainables.core.frontier import Cost
from trainables.errors import InputError
from trainables.hard.problem import HardProblem
from trainables.hard.scorer import Ids, surfaces


def check_helper(helper: Reader, source: Reader) -> None:
    """Refuse a model that cannot propose words for another one's prompts.

    Raises:
        InputError: it does not predict the next word, or shares no word with the other model.
    """
    if not helper.family.causal:
        raise InputError(
            f"helper: found {helper.alias!r}, which fills in words instead of going on with a text;"
            " allowed: a causal model"
        )
    if not (_alike(helper, source) or helper.words.keys() & source.words.keys()):
        raise InputError(
            f"helper: found {helper.alias!r}, which shares no word with model {source.alias!r};"
            " allowed: a causal model that does"
        )


def helper_of(problem: HardProblem) -> Backbone:
    """The model that proposes words.

    Raises:
        InputError: the problem has none.
    """
    if problem.helper is None:
        raise InputError("helper: found None; allowed: a causal model")
    return problem.helper


def _alike(one: Reader, other: Reader) -> bool:
    """Whether a token is the same on both."""
    return one.rows == other.rows and one.tokenizer.get_vocab() == other.tokenizer.get_vocab()


class Helper:
    """The helper, with the words it may propose for one search.

    Attributes:
        backbone: the model.
        words: tokens [A] of the source, ascending, that it may propose.
        ids: the same as tokens of the helper [A].
        cost: what it has read, of a prompt that is for the source.
    """

    def __init__(self, backbone: Backbone, source: Backbone, allowed: torch.Tensor) -> None:
        """Find the words of ``allowed`` [s], tokens of the source, that are tokens of the helper.

        Raises:
            InputError: it is no causal model, or there is no such word.
        """
        check_helper(backbone, source)
        listed = sorted(allowed.tolist())
        if _alike(backbone, source):
            pairs = [(number, number) for number in listed]
        else:
            named, known = surfaces(source), backbone.words
            pairs = [
                (number, known[named[number]]) for number in listed if named.get(number) in known
            ]
        if not pairs:
            raise InputError(
                f"helper: model {backbone.alias!r} knows none of the {len(listed)} words that"
                f" prompts on model {source.alias!r} may use; allowed: a helper or a vocabulary"
                " that shares words"
            )
        self.backbone = backbone
        self.words = torch.tensor([word for word, _ in pairs])
        self.ids = torch.tensor([number for _, number in pairs], device=backbone.device)
        self.cost = Cost()
        self._own = backbone is source
        output = backbone.family.head_output()
        self._matrix = output.weight.detach()[self.ids].float()
        self._bias = None if output.bias is None else output.bias.detach()[self.ids].float()

    @property
    def width(self) -> int:
        """Width e of what the head is given."""
        return int(self._matrix.shape[1])

    @property
    def device(self) -> torch.device:
        """Where its words are."""
        return self.ids.device

    @property
    def opening(self) -> list[int]:
        """Tokens that a text begins with: at least one, so that its first word has a state."""
        tokenizer = self.backbone.tokenizer
        special = (tokenizer.bos_token_id, tokenizer.eos_token_id, 0)
        first = next(number for number in special if number is not None)
        return list(self.backbone.begin) or [first]

    def prompts(self, places: torch.Tensor) -> torch.Tensor:
        """Words of the source [..., m] of places [..., m] among :attr:`words`."""
        return self.words[places.cpu()]

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [..., A] of the words that may be proposed, from features [..., e]."""
        logits = features @ self._matrix.T
        return logits if self._bias is None else logits + self._bias

    @torch.no_grad()
    def features(self, rows: Sequence[Ids]) -> torch.Tensor:
        """What the head is given behind rows of the helper's own tokens, all as long: [N, e]."""
        batch = _batch(torch.tensor(rows, device=self.backbone.device))
        self._charge(batch)
        return self.backbone.row_features(batch)

    @torch.no_grad()
    def sample(
        self,
        asked: Sequence[int],
        count: int,
        length: int,
        generator: torch.Generator,
        temperature: float = 1.0,
    ) -> torch.Tensor:
        """How the helper goes on with a text: ``count`` samples as words of the source [count, m].

        What it is asked is read once for all samples and words, where the model can remember it.

        Args:
            asked: the helper's own tokens, two at least.
            length: words m of a sample.
        """
        backbone, size = self.backbone, len(asked) - 1
        start = torch.tensor(asked, device=backbone.device)
        rows = start.repeat(count, 1)
        owner = torch.zeros(count, dtype=torch.long, device=backbone.device)
        prefix = backbone.embeddings[start[None, :size]].float()
        remembered = backbone.read_once(_batch(rows, 0), prefix)
        taken = []
        for _ in range(length):
            batch = _batch(rows, 0)
            self._charge(batch)
            logits = backbone.row_logits(batch, self.ids, remembered, owner)
            places = draw(logits / temperature, generator)
            taken.append(places)
            rows = torch.cat([rows, self.ids[places.to(rows.device)][:, None]], dim=1)
        return self.prompts(torch.stack(taken, dim=1))

    def _charge(self, batch: Encoded) -> None:
        if self._own:
            tokens = int(batch.lengths.sum())
            self.cost += Cost(len(batch), 0, tokens, access="states")
        else:
            self.cost += Cost(source_rows=len(batch))


def _batch(rows: torch.Tensor, begin: int | None = None) -> Encoded:
    """Rows [N, L] read behind their last token."""
    length = torch.full((len(rows),), rows.shape[1], device=rows.device)
    nothing = torch.zeros_like(length)
    return Encoded(rows, length, nothing, length - 1, nothing, begin)


def draw(
    logits: torch.Tensor, generator: torch.Generator, top_k: int | None = None
) -> torch.Tensor:
    """A place [N] of each row of logits [N, A], by their probabilities.

    ``top_k``: of so many of the highest alone.
    """
    logits = logits.detach().float().cpu()
    if top_k is not None and top_k < logits.shape[-1]:
        values, places = logits.topk(top_k, dim=-1)
        chosen = torch.multinomial(values.softmax(-1), 1, generator=generator)
        return places.gather(-1, chosen)[:, 0]
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
