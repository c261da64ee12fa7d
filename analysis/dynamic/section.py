"""The report's section on dynamic prompts."""

from collections.abc import Iterator

import pandas as pd

from analysis.dynamic.carried import carried, carried_grid
from analysis.dynamic.choices import choice_grid, choices
from analysis.dynamic.gains import gain_grid, gain_sentence, gains
from analysis.present.exhibits import Part, Section, Table


def dynamic_section(frame: pd.DataFrame) -> Section | None:
    """What dynamic prompts gain, what was decided and what of it carries over; None without any."""
    parts = list(_parts(frame))
    return Section("dynamic", "Dynamic prompts", parts) if parts else None


def _parts(frame: pd.DataFrame) -> Iterator[Part]:
    gained = gains(frame)
    if len(gained):
        yield Part(
            "Against static prompts",
            texts=[gain_sentence(gained)],
            note="Both sides are the best of equally many tries by validation; a side with more"
            " tries has its first ones alone. 95 % intervals over models, tasks and seeds, as far"
            " as there are several. Bold: the interval excludes 0.",
            exhibits=[Table("dynamic_gains", "Dynamic and static", gain_grid(gained), gained)],
        )
    table = choices(frame)
    if len(table):
        yield Part(
            folded="Positions and lengths chosen",
            note="Means over seeds and tries. Positions: vectors behind the text; lengths: vectors"
            " kept. One choice: prompts that decide the same about every test text.",
            exhibits=[Table("dynamic_choices", "What was decided", choice_grid(table), table)],
        )
    moved = carried(frame)
    if len(moved):
        yield Part(
            "Decisions on other models",
            note="The same vectors in closed form, with and without decisions; no label is read"
            " for either. As the source: share of texts about which heads that have not seen them"
            " decide as the source does. From its own: total variation between how often positions"
            " and lengths are chosen here and by prompts tuned on the target, 0 to 1.",
            exhibits=[
                Table("dynamic_carried", "Decisions carried over", carried_grid(moved), moved)
            ],
        )
