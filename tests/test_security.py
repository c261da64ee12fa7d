"""What no package of ours may do: unpickle, evaluate text, run a shell, trust remote code."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("sweep", "trainables", "analysis", "benchmarks")
MODULES = {
    *("pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"),
    *("zipfile", "tarfile", "code", "pty"),
}
CALLS = {
    *("eval", "exec", "os.system", "os.popen", "subprocess.getoutput", "torch.save"),
    *("subprocess.getstatusoutput", "shutil.unpack_archive", "torch.hub.load", "pd.read_pickle"),
    *("yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "pandas.read_pickle"),
}
METHODS = {"to_pickle", "extractall"}
MUST = {
    "shell": False,
    "allow_pickle": False,
    "trust_remote_code": False,
    "weights_only": True,
    "use_safetensors": True,
}
NEEDS = {
    "torch.load": "weights_only",
    "np.load": "allow_pickle",
    "np.save": "allow_pickle",
}


def dotted(node: ast.expr) -> str:
    """``a.b.c`` of an expression of names; else its last name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else node.attr
    return ""


def is_constant(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def faults(tree: ast.AST, loaders: object = None) -> Iterator[str]:
    """What is wrong in a module; ``loaders`` is the module, in which YAML loaders are looked up."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
            yield from (f"imports {name}" for name in names if name.split(".")[0] in MODULES)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield f"imports from {node.module}"
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                name = key.value if isinstance(key, ast.Constant) else None
                if isinstance(name, str) and name in MUST and not is_constant(value, MUST[name]):
                    yield f"has {name} as something else than {MUST[name]}"
        if isinstance(node, ast.Call):
            yield from _call_faults(node, loaders)


def _call_faults(node: ast.Call, loaders: object) -> Iterator[str]:
    called = dotted(node.func)
    if called in CALLS or (isinstance(node.func, ast.Attribute) and node.func.attr in METHODS):
        yield f"calls {called}"
    keywords = {item.arg: item.value for item in node.keywords if item.arg}
    for name, value in keywords.items():
        if name in MUST and not is_constant(value, MUST[name]):
            yield f"calls {called} with {name} as something else than {MUST[name]}"
    if called in NEEDS and NEEDS[called] not in keywords:
        yield f"calls {called} without {NEEDS[called]}"
    if called.endswith("from_pretrained") and called.startswith("AutoModel"):
        yield f"calls {called} outside of the one place that loads models"
    if called == "yaml.load":
        given = [*node.args[1:], *[keywords[name] for name in ("Loader",) if name in keywords]]
        loader = getattr(loaders, dotted(given[0]), None) if given else None
        if not (isinstance(loader, type) and issubclass(loader, yaml.SafeLoader)):
            yield "calls yaml.load without a safe loader"


ALLOWED = {
    # A developer's own checkpoint while the embedded models are trained, read with weights_only,
    # and an embedded model of this package that another one continues.
    "trainables/pocket/train.py": {
        "calls torch.save",
        "calls AutoModelForSeq2SeqLM.from_pretrained outside of the one place that loads models",
    },
    # Files that the user's own spec names under `plugins`; never one that lies in a results folder.
    "trainables/core/plugins.py": {"calls exec"},
}

FILES = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))]


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_our_code(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    module = None
    if "yaml.load(" in path.read_text(encoding="utf-8"):
        name = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        module = importlib.import_module(name)
    allowed = ALLOWED.get(path.relative_to(ROOT).as_posix(), set())
    assert set(faults(tree, module)) - allowed == set()


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "import os.path, dill",
        "from cloudpickle import dumps",
        "import tarfile",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.unsafe_load(text)",
        "eval(text)",
        "exec(text)",
        "subprocess.run(text, shell=True)",
        "os.system(text)",
        "AutoConfig.from_pretrained(name, trust_remote_code=True)",
        "extra = {'trust_remote_code': trust}",
        "frame.to_pickle(path)",
        "AutoModelForCausalLM.from_pretrained(name)",
    ],
)
def test_the_check_finds(code: str) -> None:
    assert list(faults(ast.parse(code)))


def test_the_check_lets_pass() -> None:
    code = (
        "model.eval()\ntorch.load(p, weights_only=True)\nnp.load(p, allow_pickle=False)\n"
        "subprocess.run(['ls'])\nyaml.safe_load(t)\nimport copy\n"
    )
    assert not list(faults(ast.parse(code)))
