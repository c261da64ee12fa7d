"""Drivers killed at any moment: nothing lost, nothing twice, exact counts."""

import os
import random
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.search.records import Counts, Outcome
from sweep.search.study import Study
from tests.sweep.search.spaces import conditional, finite, height, open_study

pytestmark = pytest.mark.slow

POINTS = 60
SPACES = {"tpe": conditional, "nsga2": conditional, "grid": finite}


def drive(folder: Path, sampler: str, log: int) -> None:
    """Ask and tell, three points at a time, until the budget of finished points is spent."""
    with open_study(folder, SPACES[sampler](), sampler=sampler) as study:
        out = []
        while True:
            while len(out) < 3 and more(study):
                found = study.ask()
                if found is None:
                    break
                os.write(log, f"{found.number} {found.point.key}\n".encode())
                out.append(found)
            if not out:
                return
            found = out.pop(0)
            for step in range(3):
                study.report(found.number, step, height(found.point) - 0.1 * (2 - step))
            if found.number % 7 == 3:
                study.prune(found.number)
            elif found.number % 11 == 5:
                study.fail(found.number, "no luck")
            else:
                study.complete(found.number, height(found.point))


def more(study: Study) -> bool:
    counts = study.counts()
    return bool(study.running()) or counts.finished + counts.running < POINTS


def fork(action: Callable[[], None]) -> int:
    """Run in a child; its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        action()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def check(outcomes: tuple[Outcome, ...], counts: Counts, wanted: int) -> None:
    """What holds of a finished search, however it came about."""
    finished = [item for item in outcomes if item.state in ("complete", "pruned")]
    assert len(finished) == counts.finished == wanted
    assert counts.running == counts.waiting == 0
    assert all(item.state != "running" for item in outcomes)
    assert max(Counter(item.point.key for item in outcomes).values()) == 1
    for item in outcomes:
        state = "pruned" if item.number % 7 == 3 else "failed" if item.number % 11 == 5 else None
        assert item.state == (state or "complete")
        assert item.values == ({"score": height(item.point)} if not state else {})
        top = height(item.point)
        assert item.steps == {step: top - 0.1 * (2 - step) for step in range(3)}


@pytest.mark.parametrize(("sampler", "kills"), [("tpe", 15), ("nsga2", 10), ("grid", 10)])
def test_killed_at_random_moments(tmp_path: Path, sampler: str, kills: int) -> None:
    rng = random.Random(sampler)
    log = os.open(tmp_path / "handed_out", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    path = tmp_path / "search.journal"
    done = 0
    while done < kills:
        pid = fork(lambda: drive(tmp_path, sampler, log))
        # So many bytes further, and a little: on the way through an ask or a tell.
        until = (path.stat().st_size if path.exists() else 0) + rng.randrange(200, 5000)
        deadline = time.monotonic() + 60
        while not path.exists() or path.stat().st_size < until:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended or time.monotonic() > deadline:
                break
            time.sleep(0.0005)
        else:
            time.sleep(rng.random() * 0.01)
            os.kill(pid, signal.SIGKILL)
            ended, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        done += 1
        with open_study(tmp_path, SPACES[sampler](), sampler=sampler) as study:
            assert study.counts().finished + study.counts().running <= POINTS
    assert done >= 10 or sampler == "grid"
    drive(tmp_path, sampler, log)
    os.close(log)
    wanted = 18 if sampler == "grid" else POINTS
    with open_study(tmp_path, SPACES[sampler](), sampler=sampler) as study:
        outcomes, counts = study.outcomes(), study.counts()
    if sampler == "grid":
        wanted -= counts.failed
    check(outcomes, counts, wanted)
    lines = (tmp_path / "handed_out").read_text().splitlines()
    handed = dict(line.split() for line in lines)
    # A number always stood for the same point, and every point that anybody had is in the journal.
    assert len({tuple(line.split()) for line in lines}) == len(handed)
    assert handed == {str(item.number): item.point.key for item in outcomes}
    assert len(set(handed.values())) == len(handed)


def test_cut_off_at_any_place(tmp_path: Path) -> None:
    """A journal that ends anywhere, within a line or after it, is continued to exact counts."""
    folder = tmp_path / "whole"
    with open_study(folder, sampler="tpe", startup=4) as study:
        for number in range(5):
            found = study.ask()
            assert found is not None and found.number == number
            study.report(number, 0, 0.5)
            if number:
                study.complete(number, height(found.point))
        unlucky = study.ask()
        assert unlucky is not None
        study.fail(unlucky.number, "no luck")
        study.retry_failed()
    content = (folder / "search.journal").read_bytes()
    lines = content.splitlines(keepends=True)
    ends = [sum(map(len, lines[: count + 1])) for count in range(len(lines))]
    rng = random.Random(1)
    for index, end in enumerate(ends):
        for cut in (end, end - rng.randrange(1, len(lines[index]))):
            here = tmp_path / "cut"
            here.mkdir(exist_ok=True)
            (here / "search.journal").write_bytes(content[:cut])
            with open_study(here, sampler="random") as study:
                before = study.counts()
                assert before.interrupted <= 1
                known = before.finished + before.running + before.waiting + before.failed
                seen = set()
                for _ in range(known + 2):
                    found = study.ask()
                    assert found is not None and found.point not in seen
                    seen.add(found.point)
                    study.complete(found.number, 0.5)
                after = study.counts()
                assert after.running == after.waiting == 0
                assert after.complete == before.complete + known + 2
                points = [item.point for item in study.outcomes() if item.state == "complete"]
                assert len(set(points)) == len(points) == after.complete
                assert after.failed == before.failed


def test_a_queued_point_survives_every_cut(tmp_path: Path) -> None:
    """Between the queue and the hands of somebody a point is never lost and never doubled."""
    folder = tmp_path / "whole"
    with open_study(folder) as study:
        unlucky = study.ask()
        assert unlucky is not None
        point = unlucky.point
        study.fail(unlucky.number, "no luck")
        study.retry_failed()
        begun = (folder / "search.journal").stat().st_size
        found = study.ask()
        assert found is not None and found.point == point
    content = (folder / "search.journal").read_bytes()
    ends = [begun + end for end, byte in enumerate(content[begun:], 1) if byte == 10]
    for cut in (begun, *ends, *(end - 20 for end in ends)):
        here = tmp_path / "cut"
        here.mkdir(exist_ok=True)
        (here / "search.journal").write_bytes(content[:cut])
        for _ in range(2):  # killed again while it recovers
            with open_study(here) as study:
                counts = study.counts()
                assert counts.waiting + counts.running == 1
        with open_study(here) as study:
            first, second = study.ask(), study.ask()
            assert first is not None and first.point == point
            assert second is not None and second.point != point
