"""Search: which points of a space to run next.

* :mod:`sweep.spec.space.space` reads a spec's ``methods`` as domains (no Optuna, no torch);
* :mod:`sweep.spec.space.section` says how to search (neither);
* :mod:`sweep.search.study` asks and tells (Optuna; the driver only);

A search from begin to end, and again after any kill::

    from sweep.spec.space.section import Objective, StudySettings
    from sweep.spec.space.parsing import parse_space
    from sweep.search.study import JOURNAL, Study

    methods = {"soft": {"lambda": [0, "annealing", {"low": 0.1, "high": 0.9}],
                        "learning_rate": {"low": 1e-3, "high": 0.1, "log": True},
                        "prompt_length": [5, 10, 20]}}
    space = parse_space(methods, pairs=[["A", "B"], ["A", "C"]])
    settings = StudySettings((Objective("validation/score"),), sampler="tpe", pruner="wilcoxon")
    with Study(folder / JOURNAL, space, settings) as study:
        while study.counts().finished < 60 and (found := study.ask()) is not None:
            scores = []
            for task in range(4):                  # cells of the ledger are not computed again
                scores.append(run(found.point, task))
                study.report(found.number, task, scores[-1])
                if study.should_prune(found.number):
                    study.prune(found.number)
                    break
            else:
                study.complete(found.number, {"validation/score": sum(scores) / len(scores)})
        print(study.counts(), study.best(), study.importance())

Several points may be out at a time: ask as often as there is room, and tell in any order. A
budget of n trials is kept exactly by asking while ``finished + running < n`` or ``study.running()``
is not empty. ``found.point.method_spec()`` and ``found.point.sources`` are what a plan needs.
"""
