"""Links into MLflow's pages, and what a browser shows there."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from sweep.commands.ui import page_of
from sweep.ledger.folder import bind
from sweep.ledger.ledger import Ledger
from sweep.tracking.compare import AXES, axes_of, compare, filter_of, format_links
from sweep.tracking.facts import DATABASE, default_tracking_uri
from sweep.tracking.sink import sync
from tests.sweep.ledger.test_ledger import fill
from tests.sweep.samples import plan_of
from tests.sweep.tracking.browser import Page, browse
from tests.sweep.tracking.servers import Server, serving
from trainables.errors import InputError


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep's folder with its runs in its database."""
    folder = tmp_path_factory.mktemp("sweep")
    plan = plan_of(
        sources=["A", "B", "C"],
        tasks=["x/one", "x/two"],
        methods={"soft": {"lambda": [0, 0.5, "annealing"]}, "pez": {"vocabulary": ["all"]}},
    )
    bind(folder, plan, {})
    fill(Ledger(folder), plan.cells)
    sync(folder)
    return folder


@pytest.mark.slow
def test_links_filter_and_choose_axes(sweep: Path) -> None:
    everything = compare(sweep, {})
    assert everything.runs == 30 + 2 * 3  # Empty, Manual and Constant of each task
    assert everything.axes[:2] == ("method", "row")
    assert everything.table.startswith("http://127.0.0.1:5000/#/experiments/1/runs?viewState")
    assert max(len(everything.table), len(everything.charts)) < 120
    some = compare(sweep, {"method": "soft", "task": "x/two"}, "https://mlflow.example/")
    assert 0 < some.runs < everything.runs
    assert some.axes == (
        *("row", "source_1", "source_2", "lambda"),
        *("test/gain_over_empty", "validation/score", "test/score"),
    )
    ranks = [scores[0] for _, scores in everything.best]
    assert len(ranks) == 5 and ranks == sorted(ranks, reverse=True)
    assert " seed=0, " in format_links(some) and " to T, x/two" in format_links(some)
    assert some.comparison.startswith("https://mlflow.example/#/compare-runs?runs=%5B%22")
    assert some.comparison.endswith("&experiments=%5B%221%22%5D")
    assert some.charts in format_links(some)
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=default_tracking_uri(sweep))
    tags = client.get_experiment("1").tags
    for found in (everything, some):
        for link, whole in ((found.table, False), (found.charts, True)):
            key = link.partition("viewStateShareKey=")[2].partition("&")[0]
            state = json.loads(tags[f"mlflow.sharedViewState.{key}"])
            assert state["runListHidden"] is whole
            assert (
                state["orderByKey"] == state["selectedColumns"][0] == "metrics.`validation/score`"
            )


@pytest.mark.slow
def test_models_go_by_their_alias_or_their_name_in_charts(tmp_path: Path) -> None:
    plan = plan_of(sources=["pocket-gpt2", "B"], targets=["pocket-gpt2-large"], tasks=["x/one"])
    bind(tmp_path, plan, {})
    fill(Ledger(tmp_path), plan.cells)
    sync(tmp_path)
    everything = compare(tmp_path, {})
    assert everything.runs > 0
    for name in ("pocket-gpt2-large", "gpt2-large"):
        assert compare(tmp_path, {"target": name}).runs == everything.runs


@pytest.mark.slow
def test_the_page_that_ui_names_is_the_charts(
    sweep: Path, tmp_path: Path, empty_database: Path
) -> None:
    assert (
        page_of(sweep, "http://127.0.0.1:5123")
        == compare(sweep, {}, "http://127.0.0.1:5123").charts
    )
    bind(tmp_path, plan_of(), {})
    shutil.copy(empty_database, tmp_path / DATABASE)
    assert page_of(tmp_path, "http://127.0.0.1:5123") == "http://127.0.0.1:5123"


@pytest.mark.slow
def test_mistakes_are_said_in_a_sentence(sweep: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no results of method other in MLflow"):
        compare(sweep, {"method": "other"})
    with pytest.raises(InputError, match='--task: found "a\'b"'):
        compare(sweep, {"task": "a'b"})
    bind(tmp_path, plan_of(), {})
    with pytest.raises(InputError, match=r"no mlflow\.db in it yet"):
        compare(tmp_path, {})


def test_axes_are_what_differs() -> None:
    assert axes_of([{"lambda": "0", "seed": "1"}, {"lambda": "0.5", "seed": "1"}]) == ("lambda",)
    rates = [
        {"k": "1", "learning_rate": rate, "schedule": rate, "seed": rate} for rate in ("1", "2")
    ]
    assert axes_of(rates) == ("learning_rate", "seed")
    assert axes_of([{"lambda": "0"}]) == ("target", "task")
    many = axes_of([dict.fromkeys(AXES, "a"), dict.fromkeys(AXES, "b")])
    assert many == AXES[:9]
    assert filter_of("h", {"task": "t"}) == (
        "tags.kind = 'result' and tags.spec_hash = 'h' and params.task = 't'"
    )


@pytest.mark.slow
def test_a_browser_shows_the_axes(sweep: Path, tmp_path: Path) -> None:
    """Select runs in the list and compare them; open the charts and the comparison by link."""
    labels = "[...document.querySelectorAll('svg text')].map(item => item.textContent)"

    async def visit(page: Page) -> None:
        await page.open(found.table)
        rows = ".ag-pinned-left-cols-container .ag-row, .ag-center-cols-container .ag-row"
        await page.wait(f"document.querySelectorAll('{rows}').length > 3")
        for number in range(3):
            box = f"document.querySelector('.ag-row[row-index=\"{number}\"] input[type=checkbox]')"
            await page.wait(box + " && true")
            await page.value(f"{box}.click()")
            await page.wait(f"{box}.checked")
        button = "[...document.querySelectorAll('button')].find(b => b.innerText == 'Compare')"
        await page.wait(f"{button} && !{button}.disabled")
        await page.value(f"{button}.click()")
        await page.wait("document.body.textContent.includes('Comparing 3 Runs')")
        await page.wait(f"{labels}.includes('test/score')")

        await page.open(found.charts)
        for axis in found.axes:
            await page.wait(f"{labels}.includes('{axis}')")
        await asyncio.sleep(1)
        await page.picture(tmp_path / "charts.png")

        await page.open(found.comparison)
        count = len(found.best)
        await page.wait(f"document.body.textContent.includes('Comparing {count} Runs')")
        for axis in ("lambda", "test/score"):
            await page.wait(f"{labels}.includes('{axis}')")
        await page.picture(tmp_path / "comparison.png")

    with serving(Server(tmp_path, default_tracking_uri(sweep))) as server:
        found = compare(sweep, {"method": "soft"}, server.uri)
        browse(tmp_path, visit)
    for name in ("charts", "comparison"):
        assert (tmp_path / f"{name}.png").stat().st_size > 20_000
