"""The columns as a page: ``python -m analysis.report.dictionary`` prints ``docs/columns.md``."""

from analysis.data.columns import DICTIONARY


def markdown() -> str:
    """The dictionary as ``docs/columns.md``."""
    lines = [
        "# Columns of the results",
        "",
        "One row a finished cell: `results.csv`, `results.parquet` and `analysis.load`. Written by",
        "`python -m analysis.report.dictionary`; change `analysis/data/columns.py`, run it again.",
        "",
        "| column | type | unit | meaning |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{item.name}` | {item.type} | {item.unit} | {item.meaning.replace('|', '/')} |"
        for item in DICTIONARY.values()
    ]
    lines += ["", *_features()]
    return "\n".join(lines) + "\n"


def _features() -> list[str]:
    from analysis.forecast.features import FEATURES

    head = [
        "# Columns of the features",
        "",
        "`features.parquet`, written by `sweep features`: one row a method, source set, target and",
        "task (columns `method`, `sources`, `target`, `task`). No feature reads test labels.",
        "",
        "| column | before tuning | reads validation labels | unit | meaning |",
        "|---|---|---|---|---|",
    ]
    yes = {True: "yes", False: "no"}
    return head + [
        f"| `{item.name}` | {yes[item.before]} | {yes[item.labels]} | {item.unit} |"
        f" {item.meaning} |"
        for item in FEATURES.values()
    ]


if __name__ == "__main__":
    print(markdown(), end="")
