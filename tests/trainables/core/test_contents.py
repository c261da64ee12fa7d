"""Names and digests: which of them mean one content for good."""

import os
from pathlib import Path

import pytest

from trainables.core.contents import (
    check_no_folder,
    file_digest,
    files_below,
    is_commit,
    is_hub_name,
    is_pinned,
    start_digest,
)
from trainables.errors import InputError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("digest", "expected"),
    [
        ("0123456789abcdef", True),
        (f"owner/name@{COMMIT}", True),
        ("owner/name@main", False),
        ("owner/name@v1.0", False),
        ("owner/name@abc123", False),
        (f"owner/name@{COMMIT.upper()}", False),
        ("0123456789abcdef@unpinned", False),
    ],
)
def test_only_bytes_and_commits_are_pinned(digest: str, expected: bool) -> None:
    assert is_pinned(digest) is expected


def test_revisions_and_names_of_the_hub() -> None:
    assert is_commit(COMMIT)
    assert not any(map(is_commit, (None, "main", COMMIT[:-1], COMMIT + "0")))
    assert all(map(is_hub_name, ("owner/name", "o-1/n.a_me")))
    wrong = ("name", "./name", "/a/b", "~/name", "a/b/c", "../name", "hf://a", "a/b c", "")
    assert not any(map(is_hub_name, wrong))


def test_digests_of_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_digest(tmp_path / "a") == known
    assert start_digest(tmp_path / "a") == known[:16]


def test_files_below_a_folder(tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    for name in ("b.csv", "deep/er/a.csv", ".git/config", "deep/.hidden", "__pycache__/x.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / ".huggingface.yaml").touch()
    other.mkdir()
    (other / "far.csv").touch()
    (folder / "link").symlink_to(other)
    (folder / "link.csv").symlink_to(other / "far.csv")
    (folder / "broken.csv").symlink_to(other / "gone.csv")
    os.mkfifo(folder / "pipe")
    names = [".huggingface.yaml", "b.csv", "deep/er/a.csv", "link.csv", "link/far.csv"]
    assert list(files_below(folder)) == names
    (other / "back").symlink_to(folder)
    with pytest.raises(InputError, match=r"link/back is a link that leads back"):
        files_below(folder)


def test_a_folder_of_the_working_directory_hides_a_name_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_no_folder("owner/name", "model 'x'")
    (tmp_path / "owner" / "name").mkdir(parents=True)
    with pytest.raises(InputError, match=r"model 'x': found 'owner/name'.* working directory has"):
        check_no_folder("owner/name", "model 'x'")
