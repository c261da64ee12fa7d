"""Dual-source transfers as Kishimoto et al. print them (table 3 and appendix): mean and sd, n = 5.

Per source pair a line of Baseline and one of Ours, over hate, irony, mrpc, offensive,
rotten_tomatoes, sentiment and sst2.
"""

import pandas as pd

SEEDS = 5
PRINTED = """
31.7 0.3 62.3 1.2 74.1 0.6 42.4 0.5 77.0 0.4 49.3 0.2 79.3 1.1
31.5 0.2 63.2 1.2 74.4 0.5 42.8 0.7 75.8 0.7 49.4 0.3 79.2 1.5
32.9 1.4 62.2 2.4 74.4 0.4 42.4 0.8 78.0 0.9 49.2 0.3 81.5 0.4
33.8 0.4 63.3 1.6 74.5 0.6 42.1 0.5 78.3 0.8 49.1 0.3 81.8 1.0
33.6 0.5 61.0 1.4 74.2 0.7 42.4 0.6 77.0 0.7 48.5 0.7 78.7 1.3
33.4 0.4 61.7 1.3 74.2 0.5 42.8 0.7 77.3 0.6 48.1 0.5 78.7 2.4
33.1 1.2 62.1 0.7 74.0 0.8 42.1 0.7 78.4 1.9 49.5 0.9 79.4 1.9
32.6 1.0 63.4 1.3 73.7 0.6 41.3 1.1 73.5 1.6 49.2 0.2 80.6 2.5
35.1 3.4 62.9 1.0 73.7 0.2 41.9 0.2 77.0 3.7 49.3 0.3 80.5 0.6
32.6 1.3 63.4 1.4 73.7 0.4 42.1 0.6 75.5 1.1 49.7 0.2 81.0 0.9
34.0 3.0 60.9 1.2 74.0 0.5 42.4 0.7 78.9 1.2 49.7 0.2 79.2 1.7
31.6 0.4 61.9 1.2 74.2 0.6 41.8 0.8 77.3 1.2 49.2 0.4 80.5 1.6
36.5 2.7 63.3 0.7 73.0 1.8 42.0 1.0 76.9 0.7 49.2 0.5 79.4 1.6
32.0 0.7 61.3 1.0 73.7 0.8 41.7 0.9 77.5 0.9 49.4 0.3 79.6 0.8
"""


def dual_sources() -> pd.DataFrame:
    """The 49 comparisons: columns ours, ours_sd, baseline, baseline_sd, n."""
    lines = [[float(number) for number in line.split()] for line in PRINTED.split("\n") if line]
    rows = [
        (ours[place], ours[place + 1], base[place], base[place + 1], SEEDS)
        for base, ours in zip(lines[::2], lines[1::2], strict=True)
        for place in range(0, 14, 2)
    ]
    return pd.DataFrame(rows, columns=["ours", "ours_sd", "baseline", "baseline_sd", "n"])
