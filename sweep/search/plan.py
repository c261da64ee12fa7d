"""What a search stands for: a space, and for each point of it the cells to run."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

from typing_extensions import override

from sweep.planning.plan import AnyPlan, Plan, make_plan, plan_of
from sweep.planning.soft import stays
from sweep.spec.methods import MethodSpec
from sweep.spec.resolve import (
    HELPER,
    ModelResolver,
    ResolvedSpec,
    TaskResolver,
    resolve,
    start_files,
    with_models,
)
from sweep.spec.space.parsing import parse_space
from sweep.spec.space.section import SearchSection, StudySettings, check_fit
from sweep.spec.space.space import Point, Space
from sweep.spec.spec import SweepSpec
from trainables.core.cells import CODE_VERSION, Cell, code_version, content_hash
from trainables.core.settings import default_of, family_of
from trainables.errors import InputError


@dataclass
class SearchPlan(AnyPlan):
    """A search whose models and tasks exist; grows by the points that are run.

    Attributes:
        resolved: the spec; its ``methods`` are empty.
        space: what may be chosen.
        section: how to search.
        points: the points so far, by key, each with its plan.
    """

    resolved: ResolvedSpec
    space: Space
    section: SearchSection
    points: dict[str, Plan] = field(default_factory=dict)
    searched: ClassVar[bool] = True
    may_change: ClassVar[str] = (
        "the same targets, tasks, seeds, transfer and objective, where sources, methods and budget"
        " may change (the store has what is computed already)"
    )

    _by_id: dict[str, Cell] = field(default_factory=dict)

    @property
    @override
    def cells(self) -> tuple[Cell, ...]:
        return tuple(self._by_id.values())

    @property
    @override
    def by_id(self) -> Mapping[str, Cell]:
        return self._by_id

    @cached_property
    @override
    def hash(self) -> str:
        """Content hash of what makes points comparable: a folder holds the results of one such.

        Sources, methods and their domains are left out: a search goes on when they grow.
        """
        models = self.resolved.models
        targets = {name: models[name].digest for name in self.resolved.targets}
        return content_hash(
            {
                "search": CODE_VERSION,
                "name": self.resolved.spec.name,
                "targets": targets,
                "tasks": {task.name: task.digest for task in self.resolved.tasks},
                "seeds": list(self.resolved.spec.seeds),
                "transfer": self.resolved.transfer_json,
                "objective": [item.model_dump() for item in self.section.objective],
                "constraints": [item.model_dump() for item in self.section.constraints],
            }
        )

    @cached_property
    def study(self) -> str:
        """Name of the study: another space, or sources of other content, is another study."""
        return f"search-{content_hash([self.space.digest, self.content, self.hash])[:8]}"

    @cached_property
    def content(self) -> dict[str, str]:
        """Digests of the sources and code versions of the methods, by name: what points rest on."""
        models = {name: self.resolved.models[name].digest for name in self.resolved.sources}
        codes = {f"code of {name}": code_version(name) for name in self.space.methods}
        return {**models, **codes, **self.resolved.plugin_digests}

    @property
    def settings(self) -> StudySettings:
        return self.section.settings(self.study)

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Of tasks and targets: from how the spec writes them to how cells do."""
        spec, resolved = self.resolved.spec, self.resolved
        tasks = zip(spec.tasks, (task.name for task in resolved.tasks), strict=True)
        return dict((*tasks, *zip(spec.targets, resolved.targets, strict=True)))

    def open(self, point: Point) -> Plan:
        """The cells of a point, which count as the search's from now on.

        Raises:
            InputError: the point stands for no transfer, or a file it starts from cannot be read.
        """
        if point.key not in self.points:
            plan = plan_of(self._resolved_for(point))
            if not any(cell.kind == "transfer" for cell in plan.cells):
                names = ", ".join(point.sources)
                raise InputError(f"targets: the sources {names} leave no target but themselves")
            self.points[point.key] = plan
            self._by_id |= plan.by_id
        return self.points[point.key]

    @override
    def sample(self) -> Plan:
        """A plan with a point of each method and source set, at the ends of their domains.

        What is wrong with models, tasks and words shows in it before anything is trained.

        Raises:
            InputError: no way of transfer carries the prompts of a method: points would have no
                value.
        """
        plan = self.together(self._corners())
        if left := stays(plan.resolved):
            raise InputError(
                f"methods: found {', '.join(left)} in a search, but no way of the section transfer"
                " carries keys and values of layers; allowed: with transfer.solver copy"
            )
        return plan

    def together(self, points: Sequence[Point]) -> Plan:
        """One plan of the cells of several points, which are not the search's by that."""
        plans = [plan_of(self._resolved_for(point)) for point in points]
        first = plans[0].resolved
        methods: dict[str, MethodSpec] = {}
        for plan in plans:
            for name, method in plan.resolved.spec.methods.items():
                known = methods[name].variants if name in methods else ()
                new = tuple(item for item in method.variants if item not in known)
                methods[name] = replace(method, variants=known + new)
        resolved = replace(
            first,
            spec=first.spec.model_copy(update={"methods": methods}),
            models=self.resolved.models,
            sources=self.resolved.sources,
            pairs=self.resolved.pairs,
            starts={key: file for plan in plans for key, file in plan.resolved.starts.items()},
        )
        packs = {pack.id: pack for plan in plans for pack in plan.packs}
        return Plan(resolved, tuple(packs.values()))

    @override
    def counts(self, done: Collection[str] = ()) -> dict[str, Any]:
        """Numbers of the space, of its points and of the budget."""
        spec, section = self.resolved.spec, self.section
        budget = {key: getattr(section, key) for key in ("trials", "hours", "cells")}
        sample = [plan_of(self._resolved_for(point)) for point in self._corners()]
        sizes = sorted(sum(cell.kind != "reference" for cell in plan.cells) for plan in sample)
        return {
            "name": spec.name,
            "spec_hash": self.hash,
            "search": True,
            "study": self.study,
            "methods": list(self.space.methods),
            "points": self.space.size,
            "parameters": {
                name: domain.to_json() for name, domain in self.space.parameters.items()
            },
            "objectives": [list(item) for item in self._objectives()],
            "constraints": list(self.settings.constraints),
            "sampler": section.sampler,
            "pruner": section.pruner,
            "budget": {key: value for key, value in budget.items() if value is not None},
            "cells_per_point": [sizes[0], sizes[-1]],
        }

    @override
    def summary(self) -> dict[str, Any]:
        return {"search": self.counts()}

    def _objectives(self) -> Sequence[tuple[str, str]]:
        return [(item.name, item.direction) for item in self.settings.objectives]

    def _corners(self) -> list[Point]:
        """Per method and source set a point; every end of every domain is in one of them."""
        found: dict[str, Point] = {}
        for name, method in self.space.methods.items():
            ends = {key: domain.ends for key, domain in method.domains.items()}
            weights = (None,) if method.weight is None else method.weight.ends
            widest = max([len(weights), *(len(values) for values in ends.values())])
            for place in range(max(widest, 1)):
                chosen = {key: values[min(place, len(values) - 1)] for key, values in ends.items()}
                weight = weights[min(place, len(weights) - 1)]
                for sources in self.space.sources[name].ends:
                    try:
                        point = method.point(sources, weight, chosen)
                    except InputError:  # these ends exclude each other
                        continue
                    found.setdefault(point.key, point)
        return list(found.values())

    def _resolved_for(self, point: Point) -> ResolvedSpec:
        method = point.method_spec()
        spec = self.resolved.spec
        hard = family_of(point.method) == "hard"
        sources = point.sources[:1] if hard else point.sources
        counterparts = {}
        if hard and len(point.sources) > 1:
            counterparts = {point.method: {sources[0]: (point.sources[1:],)}}
            method = replace(method, counterparts={sources[0]: (point.sources[1:],)})
        return replace(
            self.resolved,
            spec=spec.model_copy(update={"methods": {point.method: method}}),
            sources=sources,
            pairs=() if hard else (sources,),
            singles=False,
            starts=dict(start_files(spec, [method], () if hard else sources)),
            counterparts=counterparts,
        )


def any_plan(spec: SweepSpec) -> Plan | SearchPlan:
    """What a spec stands for, be it a grid or a search.

    Raises:
        InputError: as :func:`sweep.planning.plan.make_plan` and :func:`make_search_plan`.
    """
    return make_plan(spec) if spec.search is None else make_search_plan(spec)


def make_search_plan(
    spec: SweepSpec,
    find_model: ModelResolver | None = None,
    find_task: TaskResolver | None = None,
) -> SearchPlan:
    """What a spec with a section ``search`` stands for.

    Raises:
        InputError: an unknown model or task, or no sources to choose from.
    """
    if spec.search is None:
        raise ValueError("a spec without a search")
    resolved = resolve(spec, find_model, find_task)
    families = {name: family_of(name) for name in spec.searched}
    sets = {"soft": resolved.pairs, "hard": _in_each_order(resolved)}
    by_method = {name: sets[family] for name, family in families.items()}
    one = set(families.values())
    pairs = sets[next(iter(one))] if len(one) == 1 else by_method
    if any(not found for found in by_method.values()):
        raise InputError("sources: found fewer than two; allowed: at least two to choose from")
    space = parse_space(spec.searched, pairs, spec.domains)
    check_fit(space, spec.search.settings())
    return SearchPlan(_with_helpers(resolved, space, find_model), space, spec.search)


def _with_helpers(
    resolved: ResolvedSpec, space: Space, find_model: ModelResolver | None
) -> ResolvedSpec:
    """With the models that methods of the space may have words proposed by."""
    named: dict[str, Any] = {}
    for method in space.methods.values():
        domain, default = method.domains.get(HELPER), default_of(method.name, HELPER)
        if family_of(method.name) == "hard" and default is not None:
            named[f"{method.where}.{HELPER}"] = (default,) if domain is None else domain.ends
    return with_models(resolved, named, find_model)


def _in_each_order(resolved: ResolvedSpec) -> tuple[tuple[str, ...], ...]:
    """Every source set with each of its members in front: the one that is tuned on."""
    found = {
        (name, *(other for other in pair if other != name))
        for pair in resolved.pairs
        for name in pair
    }
    return tuple(sorted(found, key=lambda names: tuple(map(resolved.sources.index, names))))
