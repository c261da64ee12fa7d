"""Made-up observations with a relation between features and gain that is known."""

import itertools

import numpy as np
import pandas as pd

from analysis.features import FEATURES


def observed(
    seed: int,
    effect: float = 0.0,
    sources: int = 4,
    tasks: int = 4,
    targets: int = 2,
    noise: float = 0.02,
    source_effect: float = 0.0,
    size: int = 2,
) -> pd.DataFrame:
    """Source sets of ``size`` on every target and task.

    The gain is ``effect`` times the pair's agreement with the target (standardised), a level for
    each target and task, ``source_effect`` times a number that each source has by itself and that
    no feature knows, and noise.
    """
    draw = np.random.default_rng(seed)
    models = [f"m{number}" for number in range(sources)]
    near = draw.normal(size=(sources, targets))
    cka = draw.normal(size=(sources, targets))
    big = draw.normal(size=sources)
    own = draw.normal(size=sources)
    level = draw.normal(size=(targets, tasks))
    entropy = draw.normal(size=(targets, tasks))
    rows = []
    for chosen in itertools.combinations(range(sources), size):
        group = list(chosen)
        for target, task in itertools.product(range(targets), range(tasks)):
            gain = 0.1 * level[target, task] + effect * near[group, target].mean()
            gain += source_effect * own[group].mean() + noise * draw.normal()
            rows.append(
                {
                    "method": "soft",
                    "sources": "+".join(models[place] for place in group),
                    "source_ids": "+".join(models[place] for place in group),
                    "target": f"t{target}",
                    "target_id": f"t{target}",
                    "task": f"task{task}",
                    "size": size,
                    "gain": gain,
                    "source_score": draw.normal(),
                    "agreement": near[group, target].mean(),
                    "cka": cka[group, target].mean(),
                    "source_size": big[group].mean(),
                    "empty_entropy": entropy[target, task],
                }
            )
    table = pd.DataFrame(rows)
    return table.assign(**{name: np.nan for name in FEATURES if name not in table.columns})
