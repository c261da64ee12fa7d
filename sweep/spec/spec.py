"""The spec: the YAML file a user writes, checked down to the last key.

Every mistake is one sentence: where it is, what was found and what is allowed. The "allowed" half
is the ``description`` of the field it concerns, so a new field documents its own error.
"""

from collections.abc import Mapping, Sequence
from importlib import resources as package_files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
)

from sweep.spec.methods import COUNTERPARTS, MethodSpec, parse_method, parse_transfer
from sweep.spec.overrides import overridden
from sweep.spec.pairs import Pairs, expand_pairs, parse_pairs
from sweep.spec.space.parsing import (
    domains_schema,
    methods_schema,
    named_domains,
    parse_space,
    without_domains,
)
from sweep.spec.space.section import SearchSection
from sweep.spec.task_transfer import TaskTransfer
from sweep.spec.trackers import MLFLOW, TRACKERS
from trainables.core.plugins import Plugin, plugins_of_environment, read_plugin
from trainables.core.precision import FLOAT32, PRECISIONS
from trainables.core.predictions import SPLITS
from trainables.core.settings import TransferSettings, axes
from trainables.errors import InputError, nearest, show
from trainables.files.cache import expanded
from trainables.files.redact import check_no_password
from trainables.files.strict_yaml import dump_yaml, load_yaml
from trainables.files.text_files import one_line, read_text, reason_of
from trainables.files.validation import (
    STRICT,
    OneOf,
    SchemaOf,
    frozen,
    model_of,
    sentence,
    written_out,
)
from trainables.scoring.calibration import CALIBRATIONS
from trainables.scoring.open_vocabulary import EVALUATIONS

MOST_SEEDS = 10_000
MOST_RETRIES = 100
_ONE_LINE = 10**6
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_MODEL_NAMES = "a list of at least one model name: text, none twice"


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ValueError(f"{show(value)} stands there twice")
    return values


def _seeds(value: Any) -> Any:
    if type(value) is int and 1 <= value <= MOST_SEEDS:
        return tuple(range(value))
    if not isinstance(value, list) or len(value) > MOST_SEEDS:
        raise ValueError
    return tuple(value)


class _Searched:
    """Stands for ``methods`` where a search reads them."""


def _methods(value: Any) -> Any:
    if isinstance(value, _Searched):
        return {}
    if not isinstance(value, dict) or not value:
        raise ValueError
    return {name: parse_method(name, section) for name, section in value.items()}


def _or_auto(value: Any) -> Any:
    return None if value == "auto" else value


def _one_or_several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _transfer(value: Any) -> Any:
    if isinstance(value, tuple):
        return value
    if not isinstance(value, dict | list):
        raise ValueError
    return parse_transfer(value)


def _transfer_schema() -> dict[str, Any]:
    one = model_of(TransferSettings).model_json_schema()
    for name in axes(TransferSettings):
        value = one["properties"][name]
        several = {"type": "array", "items": value, "minItems": 1}
        one["properties"][name] = {"anyOf": [value, several]}
    return {"anyOf": [one, {"type": "array", "items": one}]}


Auto = Literal["auto"] | None
Name = Annotated[str, Field(pattern=_NAME)]
_UNIQUE = (AfterValidator(_distinct), BeforeValidator(frozen))
Names = Annotated[
    tuple[Annotated[str, Field(pattern=r"\S")], ...],
    Field(min_length=1, json_schema_extra={"uniqueItems": True}),
    *_UNIQUE,
]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
SeedForms = Annotated[int, Field(ge=1, le=MOST_SEEDS)] | Annotated[list[Seed], Field(min_length=1)]
Pattern = Annotated[str, Field(pattern=r"\+")]
PairForms = Literal["all"] | Pattern | list[Pattern | Annotated[list[str], Field(min_length=2)]]


Evaluation = Annotated[str, OneOf(EVALUATIONS)]


class _Section(BaseModel):
    model_config = ConfigDict(**STRICT, arbitrary_types_allowed=True)


class ModelEntry(_Section):
    """One entry of ``models``: what an alias stands for."""

    path: str = Field(
        min_length=1, description="a model folder, a .gguf file or a Hub name owner/name"
    )
    revision: str | None = Field(
        default=None, description="a Hub revision (commit, tag or branch) as text, or null"
    )


class Resources(_Section):
    """What one pack occupies while it runs."""

    cpu: Annotated[
        Annotated[float, Field(gt=0)] | None,
        BeforeValidator(_or_auto, json_schema_input_type=Annotated[float, Field(gt=0)] | Auto),
    ] = Field(default=1.0, description="a number of CPU cores above 0, or auto")
    gpu: Annotated[
        Annotated[float, Field(ge=0)] | None,
        BeforeValidator(_or_auto, json_schema_input_type=Annotated[float, Field(ge=0)] | Auto),
    ] = Field(default=0.0, description="a number of GPUs of at least 0, or auto")
    accelerator: str | None = Field(
        default=None,
        min_length=1,
        description="the type of GPU as Ray names it (A100, H100, …) as text, or null for any",
    )
    replicas: Annotated[
        Annotated[int, Field(ge=1)] | None,
        BeforeValidator(_or_auto, json_schema_input_type=Annotated[int, Field(ge=1)] | Auto),
    ] = Field(
        default=None,
        description="auto (as many prompts in one stack as fit in memory) or a whole number from 1",
    )
    graphs: bool = Field(
        default=True,
        description="true or false: whether training passes are CUDA graphs (nothing on a CPU)",
    )


class MlflowEntry(_Section):
    """Where the MLflow view goes."""

    tracking_uri: str | None = Field(
        default=None,
        min_length=1,
        description="an MLflow tracking URI as text, or null for a database in the sweep's folder",
    )
    artifacts: bool = Field(
        default=True, description="true or false: whether every run holds its prompt"
    )


Models = Annotated[
    dict[Name, ModelEntry],
    Field(description="a mapping of short names (letters, digits, . _ -) to {path, revision}"),
]


class SweepSpec(_Section):
    """A sweep: which prompts are tuned on which models, and carried to which."""

    name: Name = Field(
        description="a name of 1 to 64 letters, digits, dots, dashes and underscores"
    )
    description: str = Field(default="", description="text")
    models: Models = Field(default_factory=dict)
    sources: Names = Field(description=_MODEL_NAMES)
    pairs: Annotated[Pairs, BeforeValidator(parse_pairs, json_schema_input_type=PairForms)] = Field(
        default="all",
        description="all, or a list of lists of at least two different sources and of patterns"
        " such as gpt2+*, [] for no pair",
    )
    targets: Names = Field(description=_MODEL_NAMES)
    tasks: Names = Field(description="a list of at least one task name or file: text, none twice")
    seeds: Annotated[
        tuple[Seed, ...],
        Field(min_length=1),
        AfterValidator(_distinct),
        BeforeValidator(_seeds, json_schema_input_type=SeedForms),
    ] = Field(
        default=(0,),
        description=f"a whole number from 1 to {MOST_SEEDS} (how many) or a list of seeds from 0"
        " to 4294967295, none twice",
    )
    methods: Annotated[
        dict[str, MethodSpec], BeforeValidator(_methods), SchemaOf(methods_schema)
    ] = Field(description="a mapping of methods, such as soft, to their settings")
    plugins: Annotated[tuple[str, ...], *_UNIQUE] = Field(
        default=(),
        description="a list of files of Python that register solvers, methods, losses, …, none"
        " twice, or [] for none",
    )
    transfer: Annotated[
        tuple[TransferSettings, ...], BeforeValidator(_transfer), SchemaOf(_transfer_schema)
    ] = Field(
        default=(TransferSettings(),),
        description="a mapping of transfer settings, or a list of such mappings, none twice, or []"
        " for none",
    )
    direct: bool = Field(
        default=True,
        description="true or false (whether to tune on each target itself too: row Direct)",
    )
    task_transfer: TaskTransfer | None = Field(
        default=None,
        description="a mapping of which tasks' prompts the tuning on which tasks starts from, or"
        " null",
    )
    calibration: Annotated[tuple[Annotated[str, CALIBRATIONS], ...], *_UNIQUE] = Field(
        default=("batch",),
        description="a list of calibrations to evaluate besides, none twice, or [] for none",
    )
    predictions: Annotated[tuple[Annotated[str, OneOf(SPLITS)], ...], *_UNIQUE] = Field(
        default=SPLITS,
        description=f"a list of splits ({', '.join(SPLITS)}) whose predictions are kept with every"
        " cell, none twice, or [] for none",
    )
    evaluation: Annotated[
        tuple[Evaluation, ...],
        *_UNIQUE,
        BeforeValidator(_one_or_several, json_schema_input_type=Evaluation | list[Evaluation]),
    ] = Field(
        default=(),
        description=f"{', '.join(EVALUATIONS)} or a list of what is measured besides, none twice,"
        " or [] for nothing",
    )
    resources: Resources = Field(
        default=Resources(),
        description="a mapping with cpu, gpu, accelerator, replicas and graphs",
    )
    precision: Annotated[str, OneOf((*PRECISIONS, "auto"))] = Field(
        default=FLOAT32,
        description=f"{', '.join(PRECISIONS)} or auto (what the frozen models compute in)",
    )
    retries: int = Field(
        default=0,
        ge=0,
        le=MOST_RETRIES,
        description=f"a whole number from 0 to {MOST_RETRIES} (how often a run tries a failed cell"
        " again)",
    )
    mlflow: MlflowEntry = Field(
        default=MlflowEntry(), description="a mapping with the keys tracking_uri and artifacts"
    )
    tracking: Annotated[tuple[Annotated[str, TRACKERS], ...], *_UNIQUE] = Field(
        default=(MLFLOW,),
        description="a list of the programs that show runs, such as mlflow, tensorboard and wandb,"
        " none twice, or [] for none",
    )
    domains: Annotated[Any, SchemaOf(domains_schema)] = Field(
        default=None, description="a mapping of names to domains that methods refer to"
    )
    search: SearchSection | None = Field(
        default=None, description="a mapping of how to search, or null for a grid"
    )
    _base: Path = PrivateAttr(default_factory=Path.cwd)
    _text: str = PrivateAttr(default="")
    _loaded: tuple[Plugin, ...] = PrivateAttr(default=())
    _searched: Any = PrivateAttr(default=None)

    @property
    def base(self) -> Path:
        """Folder that the spec's relative paths start from."""
        return self._base

    @property
    def loaded(self) -> tuple[Plugin, ...]:
        """The files under ``plugins`` and those of the environment, read and loaded."""
        return self._loaded

    @property
    def searched(self) -> Any:
        """Of a search, the section ``methods`` as written; ``methods`` itself is empty then."""
        return self._searched

    @property
    def text(self) -> str:
        """The YAML text the spec was read from."""
        return self._text


def parse_spec(
    content: Any, where: str = "spec", base: Path | None = None, text: str | None = None
) -> SweepSpec:
    """Check the content of a spec file.

    Args:
        content: what the YAML holds.
        where: how messages name the spec.
        base: folder that relative paths start from (default: the working directory).
        text: the YAML text itself; written anew from ``content`` where not given.

    Raises:
        InputError: one sentence on the first mistake.
    """
    if not isinstance(content, Mapping):
        raise InputError(
            f"{where}: found {show(content)}; allowed: a mapping with the keys"
            f" {', '.join(SweepSpec.model_fields)}"
        )
    # Before anything else: later messages show what they found, and the text is copied.
    try:
        dumped = dump_yaml(content, width=_ONE_LINE)
    except yaml.YAMLError as error:
        raise InputError(f"{where}: {one_line(error)}; allowed: plain values") from None
    check_no_password(text or dumped, where)
    check_no_password(dumped, where)
    start = (base or Path.cwd()).resolve()
    given = {str(key): value for key, value in content.items()}
    loaded = _load_plugins(given.get("plugins"), start, where)
    search, written = given.get("search"), given.get("methods")
    try:
        if search is not None:
            # Methods are domains then; any two sources show whether they are in order.
            parse_space(written, [("A", "B")], given.get("domains"))
            given["methods"] = _Searched()
        elif "methods" in given:
            given["methods"] = _as_lists(written, named_domains(given.get("domains")))
        spec = SweepSpec.model_validate(given)
        expand_pairs(spec.pairs, spec.sources)
        if search is not None:
            spec = _searching(spec)
            spec._searched = written
    except ValidationError as error:
        raise InputError(f"{where}: {sentence(error, SweepSpec.model_json_schema())}") from None
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    spec._base, spec._loaded = start, loaded
    spec._text = dumped if text is None else text
    return spec


def _load_plugins(named: Any, base: Path, where: str) -> tuple[Plugin, ...]:
    """Load the files first: what they name may stand in every other section."""
    names = [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
    own = [
        read_plugin(base / expanded(name), f"{where}: plugins[{index}]")
        for index, name in enumerate(names)
    ]
    return tuple(dict.fromkeys((*own, *plugins_of_environment())))


def _as_lists(methods: Any, domains: Mapping[str, Any]) -> Any:
    """The section ``methods`` of a grid, with domains written out; what is no mapping stays."""
    if not isinstance(methods, Mapping):
        return methods
    return {
        name: section
        if not isinstance(section, Mapping)
        else {
            key: value
            if key == COUNTERPARTS
            else without_domains(value, f"methods.{name}.{key}", domains)
            for key, value in section.items()
        }
        for name, section in methods.items()
    }


def _searching(spec: SweepSpec) -> SweepSpec:
    if spec.direct and "direct" in spec.model_fields_set:
        raise InputError(
            "direct: found true beside search; allowed: false, as each point would have to be tuned"
            " on every target too"
        )
    if len(spec.transfer) != 1:
        raise InputError(
            f"transfer: found {len(spec.transfer)} ways beside search; allowed: one, as a point is"
            " valued by what is carried over"
        )
    if spec.task_transfer is not None:
        raise InputError(
            "task_transfer: found a mapping beside search; allowed: null, as a point is valued by"
            " what is carried over"
        )
    if spec.search is not None:
        spec.search.check_names(spec.tasks, spec.targets)
    return spec.model_copy(update={"direct": False})


def spec_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a spec; each field with the description its errors use."""
    schema = written_out(SweepSpec.model_json_schema())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "promptsweep spec",
    }


def preset_names() -> tuple[str, ...]:
    """Names of the presets that come with the package, sorted."""
    folder = package_files.files("sweep") / "presets"
    names = (Path(item.name) for item in folder.iterdir())
    return tuple(sorted(name.stem for name in names if name.suffix == ".yaml"))


def preset_description(name: str) -> str:
    """The one-line description of a preset."""
    return load_spec(name).description


def preset_text(name: str) -> str:
    """The YAML of a preset, to start a spec of one's own from.

    Raises:
        InputError: there is no such preset.
    """
    return _preset(name).read_text(encoding="utf-8")


def load_spec(name_or_path: str, overrides: Sequence[str] = ()) -> SweepSpec:
    """Read and check a spec.

    Args:
        name_or_path: a YAML file, or the name of a preset. A file wins over a preset.
        overrides: values set before it is checked, see :func:`sweep.spec.overrides.overridden`.
            The spec's text has them, without the file's comments.

    Raises:
        InputError: there is no such file or preset, or it is no valid spec.
    """
    try:
        path = expanded(name_or_path)
        base = path.parent
        if not path.exists() or path.is_dir():
            path, base = _preset(name_or_path), Path.cwd()
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{name_or_path}: cannot be read ({reason_of(error)})") from None
    text = read_text(path, name_or_path)
    content = load_yaml(text, name_or_path)
    if overrides and isinstance(content, Mapping):
        content = overridden(content, overrides)
        told = f"# set on the command line: {one_line(' '.join(overrides))}"
        text = f"{told}\n{dump_yaml(content, readable=True)}"
    return parse_spec(content, name_or_path, base, text)


def _preset(name: str) -> Path:
    names = preset_names()
    if name in names:
        return Path(str(package_files.files("sweep") / "presets" / f"{name}.yaml"))
    kind = "is a folder" if Path(name).is_dir() else "no such file or preset"
    raise InputError(
        f"spec {show(name)}: {kind}{nearest(name, names)};"
        f" allowed: a YAML file or one of the presets {', '.join(names)}"
    )
