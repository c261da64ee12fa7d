"""The licence of a base model, as its card names it or not."""

from pathlib import Path

import pytest

from trainables.interchange.provenance import licence_note
from trainables.interchange.tuned import licence_of


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\n---\n# A model\n", "mit"),
        ("---\nlicense: [mit, apache-2.0]\n---\n", "mit, apache-2.0"),
        ("---\ntags: [x]\n---\n", None),
        ("---\nlicense: [\n---\n", None),
        ("# A model\n---\nlicense: mit\n---\n", None),
        (None, None),
    ],
)
def test_the_licence_that_a_card_names(card: str | None, licence: str | None, tmp_path: Path):
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert licence_of(str(tmp_path)) == licence
    note = licence_note(str(tmp_path))
    assert note.startswith(f"Licence of the base model, as its card names it: {licence}.") or (
        licence is None and note.startswith("Licence of the base model: unknown")
    )
