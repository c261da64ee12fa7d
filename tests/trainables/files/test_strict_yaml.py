"""YAML and text files of the user's: read as meant, or refused in one sentence with the line."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from trainables.core.contents import file_digest, place_of
from trainables.errors import InputError
from trainables.files.strict_yaml import StrictLoader, WordLoader, dump_yaml, load_yaml
from trainables.files.text_files import MOST_BYTES, read_text

LAUGHS = "\n".join(
    ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60))]
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 0.001),
        ("1e3", 1000),
        ("-2.5E-1", -0.25),
        ("1.5e+2", 150),
        ("1e300", 1e300),
        ("1e400", float("inf")),
        ("'1e-3'", "1e-3"),
        ("1e", "1e"),
        ("0.5", 0.5),
        (r'"\ud83d\ude00"', "😀"),
        ("😀", "😀"),
        ("\ufeffa: 1", {"a": 1}),
        ("{top: {a: &a {<<: {x: 2}, x: 1}}, c: {<<: *a, y: 3}}",
         {"top": {"a": {"x": 1}}, "c": {"x": 1, "y": 3}}),
    ],
)  # fmt: skip
def test_read_as_meant(text: str, expected: Any) -> None:
    found = load_yaml(text, "file")
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'a: "\ud83d"', r"line 1: found the lone surrogate \\ud83d, half a character"),
        ('b: 1\na: "\\ude00\\ud83d"', r"line 2: found the lone surrogate \\ude00"),
        (LAUGHS, "line 1[0-9]: .* more than 100,000 values"),
        ("[" * 1000, "line 1: .* nested more than 50 deep"),
        ("a: &x [*x]", "line 1: .* refers to itself"),
        ("b: 1\na: !!int ''", r"line 2: invalid YAML \('' is no int\)"),
        ("!!timestamp x", "'x' is no timestamp"),
        ("!!bool x", "'x' is no bool"),
        ("!!float ''", "'' is no float"),
        ("9" * 5000, "is no int"),
        ("0x" + "f" * 5000, "is no int"),
        ("a: !!python/name:os.system", "line 1: invalid YAML"),
        ("a: 1\nb: \x00", r"line 2: .* U\+0000"),
        ('"a\\nb": 1\n"a\\nb": 2', "line 2: .*the key a b stands there twice"),
        ("{<<: {a: 1}, <<: {b: 2}}", "the key << stands there twice"),
        ("a: 1\n\tb: 2", "line 2"),
        ("--- a\n--- b", "line 2"),
        ("? [a]\n: b", "unhashable"),
    ],
    ids=lambda value: value[:12],
)
def test_refused_in_one_line(text: str, expected: str) -> None:
    with pytest.raises(InputError, match=f"^file: .*{expected}") as caught:
        load_yaml(text, "file")
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 300


def test_ray_reads_its_file_as_before() -> None:
    text = "{a: 1e-3, b: no, c: 1.0e+3}"
    assert load_yaml(text, "f", StrictLoader) == yaml.safe_load(text)
    assert load_yaml(text, "f", WordLoader) == {"a": 0.001, "b": "no", "c": 1000}


@pytest.mark.parametrize("value", ["1e3", "1e-3", "no", "12", 1e-7, 1000, "a\nb", "😀", None])
def test_what_is_written_is_read_again(value: Any) -> None:
    content = {"x": value, str(value): [value]}
    assert load_yaml(dump_yaml(content), "file") == content
    assert load_yaml(dump_yaml(content, readable=True), "file") == content


def test_files_that_are_none(tmp_path: Path) -> None:
    pipe, loop, huge = tmp_path / "pipe", tmp_path / "loop", tmp_path / "huge"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    with huge.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    (tmp_path / "binary").write_bytes(b"a: 1\nb: \xff")
    for path, expected in {
        pipe: r"cannot be read \(it is no regular file\)",
        Path("/dev/zero"): "no regular file",
        loop: "cannot be read",
        tmp_path: r"cannot be read \(Is a directory\)",
        tmp_path / "none": "No such file",
        tmp_path / ("x" * 5000): "too long",
        huge: "found a file of 67,108,865 bytes; allowed: 67,108,864 at most",
        tmp_path / "binary": "line 2 is not UTF-8 text",
    }.items():
        with pytest.raises(InputError, match=f"^it: .*{expected}"):
            read_text(path, "it")
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(OSError, match="no regular file"):
            file_digest(path)


def test_lines_end_alike(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert read_text(tmp_path / "file", "it") == "a\nb\nc\n"


@pytest.mark.parametrize("path", ["~nobody-of-that-name/x", "x" * 5000])
def test_places_that_cannot_be(path: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^field: found "):
        place_of(path, tmp_path, "field")
