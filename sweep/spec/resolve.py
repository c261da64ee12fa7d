"""A spec with every name looked up: what the models and tasks it names are, bit for bit."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Protocol

from sweep.spec.methods import COUNTERPARTS, LAMBDA, MethodSpec
from sweep.spec.pairs import Group, expand_pairs, groups_by_source, names_of
from sweep.spec.resources import settled
from sweep.spec.spec import SweepSpec
from sweep.spec.trackers import KEY
from trainables.core.cells import CODE_VERSION, ModelRef, TaskRef, code_version, content_hash
from trainables.core.contents import start_digest
from trainables.core.plugins import known
from trainables.core.precision import FLOAT32
from trainables.core.registries import METHODS, SOLVERS
from trainables.core.settings import TransferSettings, family_of, stored
from trainables.core.settings.base import CHAT
from trainables.errors import InputError, show
from trainables.files.text_files import one_line, reason_of

HELPER = "helper"
"""Setting of hard methods that names a further model."""


class ModelResolver(Protocol):
    """Finds the model a spec names; see :func:`trainables.models.names.resolve_model`."""

    def __call__(
        self, name: str, aliases: Mapping[str, Mapping[str, Any]] | None, base: Path | None
    ) -> ModelRef:
        """The model, or InputError."""


class TaskResolver(Protocol):
    """Finds the task a spec names; see :func:`trainables.tasks.resolve_task`."""

    def __call__(self, name: str, base: Path | None) -> TaskRef:
        """The task, or InputError."""


@dataclass(frozen=True)
class StartFile:
    """A file that a source's prompts start from: where it is and the digest of what it holds."""

    path: str
    digest: str


@dataclass(frozen=True)
class ResolvedSpec:
    """A spec whose models and tasks exist.

    Attributes:
        spec: the spec as written.
        models: every model by alias.
        tasks: the tasks in the order written.
        sources: aliases of the sources.
        targets: aliases of the targets.
        pairs: aliases of each pair (two or more), ``all`` written out.
        singles: whether each source's own prompt is carried over too (row Single).
        counterparts: per method of hard prompts that needs them, each source's groups.
        helpers: by the name in a method's ``helper``, that model, its chat template in its digest.
        starts: by ``init_file`` and source, the file that prompts of that source start from.
        transfer: the ways of transfer, with tasks by their names.
        texts: further tasks whose texts they read without labels, by name.
        task_pairs: of task transfer, per target task its source tasks.
    """

    spec: SweepSpec
    models: Mapping[str, ModelRef]
    tasks: tuple[TaskRef, ...]
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    pairs: tuple[tuple[str, ...], ...]
    singles: bool = True
    starts: Mapping[tuple[str, str], StartFile] = field(default_factory=dict)
    counterparts: Mapping[str, Mapping[str, tuple[Group, ...]]] = field(default_factory=dict)
    helpers: Mapping[str, ModelRef] = field(default_factory=dict)
    transfer: tuple[TransferSettings, ...] = (TransferSettings(),)
    texts: Mapping[str, TaskRef] = field(default_factory=dict)
    task_pairs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def start(self, settings: Any, source: str) -> StartFile | None:
        """The file that prompts of ``source`` start from; None where they start from none."""
        return self.starts.get((getattr(settings, "init_file", None) or "", source))

    def helper(self, settings: Any) -> ModelRef | None:
        """The model that proposes words; None where none does."""
        return self.helpers.get(getattr(settings, HELPER, None) or "")

    @property
    def method_tasks(self) -> tuple[TaskRef, ...]:
        """Tasks that methods are run on by themselves: all but those that serve as sources only."""
        section = self.spec.task_transfer
        if section is None or not section.sources_only:
            return self.tasks
        sources = {name for names in self.task_pairs.values() for name in names}
        only = sources - self.task_pairs.keys()
        return tuple(task for task in self.tasks if task.name not in only)

    @cached_property
    def precision(self) -> str:
        """What the frozen models compute in, ``auto`` settled."""
        return settled(self.spec.precision, self.spec.resources)

    @cached_property
    def plugin_digests(self) -> dict[str, str]:
        """By ``plugin NAME``, the digest of each file of the user's own."""
        return {f"plugin {plugin.name}": plugin.digest for plugin in self.spec.loaded}

    @cached_property
    def hash(self) -> str:
        """Content hash of all that can change a result, models, tasks and code version included.

        Left out are resources, calibrations, kept predictions, what is evaluated besides, trackers
        with their addresses, and the description.
        """
        settings = self.settings_json()
        digests = {
            "models": {alias: model.digest for alias, model in self.models.items()},
            "tasks": {task.name: task.digest for task in (*self.tasks, *self.texts.values())},
        }
        if self.plugin_digests:
            digests["plugins"] = self.plugin_digests
        if self.starts:
            digests["starts"] = {" ".join(key): file.digest for key, file in self.starts.items()}
        versions = {name: code_version(name) for name in self.spec.methods}
        own = {name: version for name, version in versions.items() if version != CODE_VERSION}
        code = {"codes": own} if own else {}
        return content_hash({"code": CODE_VERSION, **code, **settings, "digests": digests})

    def settings_json(self) -> dict[str, Any]:
        """JSON-able: the spec with ``all`` and seed counts written out, without places."""
        spec = self.spec
        return {
            "name": spec.name,
            "sources": list(self.sources),
            "pairs": [list(pair) for pair in self.pairs],
            "targets": list(self.targets),
            "tasks": [task.name for task in self.tasks],
            "seeds": list(spec.seeds),
            "methods": {
                name: {**self._family_json(method), **self._settings_json(method)}
                for name, method in spec.methods.items()
            },
            "transfer": self.transfer_json,
            "direct": spec.direct,
            **self._task_transfer_json(),
            **({} if self.precision == FLOAT32 else {"precision": self.precision}),
        }

    @property
    def transfer_json(self) -> dict[str, Any] | list[dict[str, Any]]:
        """The ways of transfer as they are stored; of a single one, that alone."""
        ways = [
            {**stored(way), **({"rows": list(way.rows)} if way.rows else {})}
            for way in self.transfer
        ]
        return ways[0] if len(ways) == 1 else ways

    def _family_json(self, method: MethodSpec) -> dict[str, Any]:
        if family_of(method.name) == "soft":
            return {LAMBDA: [weight.written for weight in method.weights]}
        if method.name not in self.counterparts:
            return {}
        groups = self.counterparts[method.name].items()
        return {
            COUNTERPARTS: {source: [list(group) for group in items] for source, items in groups}
        }

    def _settings_json(self, method: MethodSpec) -> dict[str, Any]:
        """The settings themselves, or a list of them under ``variants`` where there are several."""
        variants = []
        for settings in method.variants:
            helper = self.helper(settings)
            variants.append(stored(settings) | ({} if helper is None else {HELPER: helper.alias}))
        return variants[0] if len(variants) == 1 else {"variants": variants}

    def _task_transfer_json(self) -> dict[str, Any]:
        section = self.spec.task_transfer
        if section is None:
            return {}
        pairs = {target: list(names) for target, names in self.task_pairs.items()}
        rest = section.model_dump(mode="json", exclude={"source_tasks", "target_tasks"})
        later: dict[str, Any] = {"restarts": True, "zero_shot": False, "refine": False}
        later |= {"source_settings": {}, "sources_only": False, "controls": []}
        rest = {
            name: value for name, value in rest.items() if name not in later or value != later[name]
        }
        return {"task_transfer": {"pairs": pairs, **rest}}

    def _search_json(self) -> dict[str, Any]:
        if self.spec.search is None:
            return {}
        return {"methods": self.spec.searched, "search": self.spec.search.model_dump()}

    def to_json(self) -> dict[str, Any]:
        """JSON-able: everything, for ``sweep.json``."""
        return {
            **self.settings_json(),
            "description": self.spec.description,
            "models": {alias: asdict(model) for alias, model in self.models.items()},
            **({"plugins": known(self.spec.loaded)} if self.spec.loaded else {}),
            "task_files": {task.name: asdict(task) for task in (*self.tasks, *self.texts.values())},
            "calibration": list(self.spec.calibration),
            "predictions": list(self.spec.predictions),
            "evaluation": list(self.spec.evaluation),
            **self._search_json(),
            "resources": self.spec.resources.model_dump(),
            "mlflow": self.spec.mlflow.model_dump(),
            KEY: list(self.spec.tracking),
        }


def resolve(
    spec: SweepSpec,
    find_model: ModelResolver | None = None,
    find_task: TaskResolver | None = None,
) -> ResolvedSpec:
    """Look up every name of ``spec`` once, before anything runs.

    Args:
        find_model: stands in for :func:`trainables.models.names.resolve_model` (tests, benchmarks).

    Raises:
        InputError: a name that is no model or task, or two of them that share one short name.
    """
    from trainables.models.names import resolve_model, with_chat
    from trainables.tasks import resolve_task

    models: dict[str, ModelRef] = {}
    aliases = {alias: entry.model_dump() for alias, entry in spec.models.items()}
    finder = find_model or resolve_model
    named: dict[str, str] = {}
    judging = {
        f"methods.{method.name}.{COUNTERPARTS}": tuple(dict.fromkeys(names_of(method.counterparts)))
        for method in spec.methods.values()
        if _needs_counterparts(method)
    }
    places = {"sources": spec.sources, "targets": spec.targets, **judging}
    for section, names in places.items():
        seen: dict[str, str] = {}
        for name in names:
            if name not in named:
                model = finder(name, aliases, spec.base)
                _claim(models, model, name, section)
                named[name] = model.alias
            alias = named[name]
            if alias in seen:
                raise InputError(
                    f"{section}: {show(seen[alias])} and {show(name)} are the same model"
                )
            seen[alias] = name
    find = find_task or resolve_task
    tasks = _tasks(spec, find)
    texts = {
        way.texts_from: find(way.texts_from, spec.base) for way in spec.transfer if way.texts_from
    }
    for task in (*tasks, *texts.values()):
        if task.name in models:
            raise InputError(
                f"tasks: {show(task.name)} is a model's name too; give one another name"
            )
    sources = tuple(named[name] for name in spec.sources)
    _check_heads(spec, [named[name] for name in spec.targets], sources)
    if _in_chat(spec):
        models = {alias: with_chat(model) for alias, model in models.items()}
    helping = {
        f"methods.{method.name}.{HELPER}": tuple(dict.fromkeys(_helpers(method)))
        for method in spec.methods.values()
    }
    found = ResolvedSpec(
        spec=spec,
        models=models,
        tasks=tasks,
        sources=sources,
        targets=tuple(named[name] for name in spec.targets),
        pairs=tuple(
            tuple(named[name] for name in pair) for pair in expand_pairs(spec.pairs, spec.sources)
        ),
        starts=dict(start_files(spec, spec.methods.values(), sources)),
        counterparts={
            method.name: groups_by_source(
                method.counterparts,
                sources,
                lambda name: named.get(name, name),
                f"methods.{method.name}.{COUNTERPARTS}",
            )
            for method in spec.methods.values()
            if _needs_counterparts(method)
        },
        transfer=tuple(
            replace(way, texts_from=texts[way.texts_from].name) if way.texts_from else way
            for way in spec.transfer
        ),
        texts={task.name: task for task in texts.values()},
        task_pairs=_task_pairs(spec, tasks),
    )
    return with_models(found, helping, find_model)


def with_models(
    resolved: ResolvedSpec,
    named: Mapping[str, Iterable[str]],
    find_model: ModelResolver | None = None,
) -> ResolvedSpec:
    """A spec with further models that help, by the section that names them.

    Raises:
        InputError: a name that is no model, or another model's short name.
    """
    from trainables.models.names import resolve_model, with_chat

    spec, models, helpers = resolved.spec, dict(resolved.models), dict(resolved.helpers)
    aliases = {alias: entry.model_dump() for alias, entry in spec.models.items()}
    for section, names in named.items():
        for name in names:
            found = (find_model or resolve_model)(name, aliases, spec.base)
            model = with_chat(found) if _in_chat(spec) else found
            _claim(models, model, name, section)
            helpers[name] = with_chat(found)
    return replace(resolved, models=models, helpers=helpers)


def _check_heads(spec: SweepSpec, targets: Sequence[str], sources: Sequence[str]) -> None:
    """Refuse what cannot take prompts along with the heads that decide about them.

    Raises:
        InputError: a search, a way of transfer, or a part of task transfer that cannot.
    """
    named = [*spec.methods, *(spec.searched if isinstance(spec.searched, Mapping) else ())]
    method = next((name for name in named if getattr(METHODS.get(name), "heads", False)), None)
    learnt = next((way.solver for way in spec.transfer if SOLVERS[way.solver].heads), None)
    if learnt and not (method and _decides(spec, method)):
        raise InputError(
            f"transfer.solver: found {learnt} beside {', '.join(named)}; allowed: with a method"
            " whose prompts decide something (dynamic, at level task or instance)"
        )
    if method is None:
        return
    heads = f"methods.{method}, whose heads read one model's own states"
    if spec.search is not None:
        raise InputError(f"search: found beside {heads}; allowed: a grid")
    if any(len(pair) > 1 for pair in expand_pairs(spec.pairs, spec.sources)):
        raise InputError(f"pairs: found {show(spec.pairs)} beside {heads}; allowed: []")
    for way in spec.transfer if any(one != other for one in sources for other in targets) else ():
        kind = SOLVERS[way.solver]
        if kind.through and not kind.heads:
            good = [name for name, one in SOLVERS.items() if one.heads or not one.through]
            raise InputError(
                f"transfer.solver: found {way.solver} beside {heads}; allowed:"
                f" {', '.join(good)}, or transfer: [] to carry nothing over"
            )
        if way.selection != "none":
            raise InputError(
                f"transfer.selection: found {way.selection} beside {heads}; allowed: none"
            )
    section = spec.task_transfer
    for name in ("zero_shot", "refine"):
        if section is not None and getattr(section, name):
            raise InputError(f"task_transfer.{name}: found true beside {heads}; allowed: false")


def _decides(spec: SweepSpec, method: str) -> bool:
    found = spec.methods.get(method)
    return found is not None and any(settings.decides for settings in found.variants)


def _in_chat(spec: SweepSpec) -> bool:
    """Whether any prompt of a grid is read in chat templates, or one of a search may be."""
    variants = [item for method in spec.methods.values() for item in method.variants]
    searched = str([spec.searched, spec.domains])
    return any(item.template == CHAT for item in variants) or repr(CHAT) in searched


def _task_pairs(spec: SweepSpec, tasks: Sequence[TaskRef]) -> Mapping[str, tuple[str, ...]]:
    """Per target task of task transfer its source tasks, named as in the spec or by their files."""
    section = spec.task_transfer
    if section is None:
        return {}
    if not any(family_of(name) == "soft" for name in spec.methods):
        raise InputError(
            f"task_transfer: found beside {', '.join(spec.methods)}; allowed: with a method of soft"
            " prompts"
        )
    deep = [
        method.name
        for method in spec.methods.values()
        if any(not getattr(item, "joint", True) for item in method.variants)
    ]
    if deep:
        raise InputError(
            f"task_transfer: found beside {', '.join(deep)}, whose prompts are keys and values of"
            " layers; allowed: with methods whose prompts are vectors"
        )
    if section.refine and len({*spec.sources, *spec.targets}) < 2:
        raise InputError(
            f"task_transfer.refine: found true beside targets {', '.join(spec.targets)}; allowed:"
            " with a target that is not the only source"
        )
    for method in spec.methods.values():
        for settings in method.variants if family_of(method.name) == "soft" else ():
            section.for_sources(settings)
            for init in section.controls:
                section.started(settings, init)
    names = dict(zip(spec.tasks, (task.name for task in tasks), strict=True))
    return section.named(names).pairs([task.name for task in tasks])


def _needs_counterparts(method: MethodSpec) -> bool:
    return any(getattr(settings, "counterparts_needed", False) for settings in method.variants)


def _helpers(method: MethodSpec) -> Iterator[str]:
    for settings in method.variants:
        if family_of(method.name) == "hard" and getattr(settings, HELPER, None) is not None:
            yield getattr(settings, HELPER)


def start_files(
    spec: SweepSpec, methods: Iterable[MethodSpec], sources: Sequence[str]
) -> Iterator[tuple[tuple[str, str], StartFile]]:
    """The files that prompts of ``sources`` start from, as :class:`ResolvedSpec` keeps them.

    Raises:
        InputError: one cannot be read.
    """
    patterns = {
        (f"methods.{method.name}", settings.init_file)
        for method in methods
        for settings in method.variants
        if getattr(settings, "init_file", None)
    }
    for (where, pattern), source in product(sorted(patterns), sources):
        path = spec.base / Path(pattern.replace("{model}", source))
        try:
            digest = start_digest(path)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{where}.init_file: found {show(pattern)}, for source {source} '{one_line(path)}'"
                f" ({reason_of(error)}); allowed: a .npy or .safetensors file for every source"
            ) from None
        yield (pattern, source), StartFile(str(path.resolve()), digest)


def _claim(models: dict[str, ModelRef], model: ModelRef, name: str, section: str) -> None:
    if "+" in model.alias:  # joins the sources in tables
        raise InputError(
            f"{section}: the short name {show(model.alias)} of {show(name)} has a + in it;"
            " give the model another one under models"
        )
    known = models.setdefault(model.alias, model)
    if known != model:
        raise InputError(
            f"{section}: {show(name)} and {show(known.location)} share the short name"
            f" {show(model.alias)}; give one of them another one under models"
        )


def _tasks(spec: SweepSpec, find_task: TaskResolver) -> tuple[TaskRef, ...]:
    found: dict[str, TaskRef] = {}
    for name in spec.tasks:
        task = find_task(name, spec.base)
        if task.name in found:
            raise InputError(
                f"tasks: {show(name)} and {show(found[task.name].file)} share the name"
                f" {show(task.name)}"
            )
        found[task.name] = task
    return tuple(found.values())
