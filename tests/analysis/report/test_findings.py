"""What is said at the top of a report."""

from types import SimpleNamespace
from typing import Any

import pytest

from analysis.data.combinations import HARD, SOFT
from analysis.report import findings
from analysis.report.findings import verdict_findings


def _answers(*labels: str, family: str = SOFT, judged: tuple[str, ...] = ()) -> Any:
    return [
        SimpleNamespace(family=family, label=label, verdict=label if label in judged else None)
        for label in labels
    ]


def test_what_cannot_be_judged_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep of a dozen settings without a joint tuning says so in one sentence."""
    monkeypatch.setattr(findings, "brief", lambda verdict: f"judged {verdict}")
    answers = _answers("m 1", "m 5", "m 20", judged=("m 5",)) + _answers("k 3", family=HARD)
    judged, rest = verdict_findings(answers)
    assert (judged.title, judged.text) == ("Joint tuning (m 5)", "judged m 5")
    assert rest.title == "Joint tuning"
    assert rest.text == (
        "No source set has both sides of Ours − Baseline in 2 combinations of settings, so joint"
        " tuning cannot be judged there."
    )
    (only,) = verdict_findings(_answers("m 1"))
    assert only.title == "Joint tuning (m 1)"
    assert only.text.endswith("Ours − Baseline, so joint tuning cannot be judged.")
    (hard,) = verdict_findings(answers, hard=True)
    assert hard.title.endswith("(k 3)")
