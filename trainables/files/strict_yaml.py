"""YAML of the user's: read, or refused in one sentence with the line.

It is version 1.1 with these differences: a key that comes twice is refused; ``1e-3`` is a number,
as in version 1.2; two escapes that are one character, as JSON writes an emoji, are that character;
and what grows beyond all reason (deep nests, references that multiply, numbers of hundreds of
digits) is refused.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from trainables.errors import InputError, show
from trainables.files.text_files import check_characters, one_line

MOST_DEEP = 50
MOST_VALUES = 100_000
"""Most values in a file, each counted as often as it is referred to."""
_MOST_BITS = 1024  # a float's range
_EXACT = 2**53
_EXPONENT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+\Z")
_FLOAT = "tag:yaml.org,2002:float"
_BOOL = "tag:yaml.org,2002:bool"


class StrictLoader(yaml.SafeLoader):
    """Safe loader of YAML 1.1 that refuses keys that come twice and what grows beyond reason."""

    def __init__(self, text: str, where: str) -> None:
        super().__init__(text)
        self._where = where
        self._depth = 0
        self._values = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark = self.peek_event().start_mark
        if self.check_event(yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._sizes:
                raise yaml.composer.ComposerError(None, None, "a value refers to itself", mark)
            self._values += self._sizes[id(node)]
        else:
            self._depth += 1
            if self._depth > MOST_DEEP:
                problem = f"values are nested more than {MOST_DEEP} deep"
                raise yaml.composer.ComposerError(None, None, problem, mark)
            before = self._values
            node = super().compose_node(parent, index)
            self._depth -= 1
            self._values += 1
            self._sizes[id(node)] = self._values - before
        if self._values > MOST_VALUES:
            problem = f"it holds more than {MOST_VALUES:,} values"
            raise yaml.composer.ComposerError(None, None, problem, mark)
        return node

    def compose_scalar_node(self, anchor: dict[Any, yaml.Node]) -> yaml.ScalarNode:
        """As the parent's; two escapes that are one character, as JSON writes an emoji, are one."""
        node: yaml.ScalarNode = super().compose_scalar_node(anchor)
        halves = node.value.encode("utf-16", "surrogatepass")
        node.value = halves.decode("utf-16", "surrogatepass")
        check_characters(node.value, f"{self._where}: line {node.start_mark.line + 1}")
        return node

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        """As the parent's, after a look at the keys."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                problem = f"the key {key.value} stands there twice"
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """As the parent's; a scalar that is none of its type, 2001-99-99, is told with its line."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError):
            problem = f"{show(node.value)} is no {node.tag.rsplit(':', 1)[-1]}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """As the parent's, where Python can write it out."""
        value: int = super().construct_yaml_int(node)
        if value.bit_length() > _MOST_BITS:
            raise ValueError
        return value


StrictLoader.add_constructor("tag:yaml.org,2002:int", StrictLoader.construct_yaml_int)


class NumberLoader(StrictLoader):
    """Reads ``1e-3`` as a number too, and one with an exponent that is whole as an integer."""

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        """``1e3`` is 1000, so that it may stand for a whole number."""
        value: float = super().construct_yaml_float(node)
        whole = "e" in node.value.lower() and abs(value) <= _EXACT and value.is_integer()
        return int(value) if whole else value


class _Dumper(yaml.SafeDumper):
    """Quotes text that :class:`NumberLoader` would read as a number."""


for _class in (NumberLoader, _Dumper):
    _class.add_implicit_resolver(_FLOAT, _EXPONENT, list("-+.0123456789"))
NumberLoader.add_constructor(_FLOAT, NumberLoader.construct_yaml_float)


class WordLoader(NumberLoader):
    """Beside that, ``no`` and ``yes`` stay words."""


WordLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag != _BOOL]
    for first, pairs in NumberLoader.yaml_implicit_resolvers.items()
}


def load_yaml(text: str, where: str, loader: type[StrictLoader] = NumberLoader) -> Any:
    """What a YAML text holds.

    Args:
        loader: which words are numbers or true and false.

    Raises:
        InputError: it is no valid YAML, with the line.
    """
    try:
        return loader(text, where).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        problem = error.problem
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"found the character U+{error.character:04X}, which it must not hold"
    except (yaml.YAMLError, RecursionError) as error:
        line, problem = None, str(error) or type(error).__name__
    place = "" if line is None else f"line {line}: "
    raise InputError(f"{where}: {place}invalid YAML ({one_line(problem)})")


def dump_yaml(content: Mapping[Any, Any], width: int | None = None, readable: bool = False) -> str:
    """YAML that :func:`load_yaml` reads back as ``content``.

    Args:
        width: longest line, where it can be helped.
        readable: keep letters beyond ASCII as they are.

    Raises:
        yaml.YAMLError: a value is not plain.
    """
    text: str = yaml.dump(
        dict(content), Dumper=_Dumper, sort_keys=False, width=width, allow_unicode=readable
    )
    return text
