"""All claims, in the order of the table. Each is measured in a process of its own."""

from benchmarks import (
    distil,
    engine_cells,
    evaluation,
    levers,
    neighbours,
    pez,
    transfers,
    tuning,
    whole_sweep,
)
from benchmarks.finding import Measure

MEASURES: dict[str, Measure] = {
    **tuning.MEASURES,
    **transfers.MEASURES,
    **distil.MEASURES,
    **pez.MEASURES,
    **neighbours.MEASURES,
    **whole_sweep.MEASURES,
    **engine_cells.MEASURES,
    **evaluation.MEASURES,
    **levers.MEASURES,
}
"""By name, what measures a claim."""
