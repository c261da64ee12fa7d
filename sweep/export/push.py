"""One prompt to the Hugging Face Hub, when somebody asks for it and never otherwise.

The token is the Hub client's business: it comes from ``HF_TOKEN`` or from its own login.
"""

import json
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.export.choose import PromptChoice, one_cell
from sweep.export.folders import default_format, intact, place_of, prompt_files, title
from sweep.export.prompt import about
from sweep.export.standings import Facts, Standings, line_of
from sweep.ledger.folder import read_meta_for_models
from sweep.ledger.ledger import Ledger
from trainables.errors import InputError, show
from trainables.files.redact import redact

_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_LONGEST = 200


@dataclass(frozen=True)
class Destination:
    """Where to.

    Attributes:
        repo: ``owner/name``; made where it does not exist.
        private: whether it is private where it is made.
        dry_run: whether nothing is to be uploaded.
    """

    repo: str
    private: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Upload:
    """What was, or would be, uploaded.

    Attributes:
        line: the prompt in one line.
        destination: where to.
        files: bytes by name.
        url: of the commit; None after a dry run.
        place: the prompt in a few words.
        stands: how it stands beside what needs no tuning.
    """

    line: str
    destination: Destination
    files: Mapping[str, bytes]
    url: str | None
    place: str = ""
    stands: Facts | None = None


def push_prompt(
    folder: Path,
    choice: PromptChoice,
    destination: Destination,
    api: Callable[[], Any] | None = None,
) -> Upload:
    """Upload one prompt as the folder that ``sweep export`` writes for it.

    In its files, paths of local base models are replaced by the models' short names.

    Args:
        api: makes the Hub client (default: ``huggingface_hub.HfApi``).

    Raises:
        InputError: a wrong repository name, no such prompt, no token, or a Hub that does not answer
            or refuses.
    """
    if not _REPO.fullmatch(destination.repo) or re.search(r"--|\.\.", destination.repo):
        raise InputError(
            f"--repo: found {show(destination.repo)}; allowed: owner/name in letters, digits, dots,"
            " dashes and underscores"
        )
    meta = read_meta_for_models(folder)
    ledger = Ledger(folder)
    record = intact(ledger, one_cell(folder, ledger, choice))
    stands = Standings(folder).of(record["id"])
    written = prompt_files(ledger, meta, record, default_format(record), stands)
    files = {name: _without_places(content, meta) for name, content in written.items()}
    url = None if destination.dry_run else _upload(files, record["id"], destination, api)
    entry = about(record, meta, stands)
    return Upload(title(entry), destination, files, url, place_of(entry), stands)


def _without_places(content: bytes, meta: Mapping[str, Any]) -> bytes:
    """A text file without folders of this machine; tensors are left as they are."""
    from trainables.models.names import resolve_model
    from trainables.pocket.zoo import POCKET_NAMES

    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content
    places = {
        model["location"]: alias
        for alias, model in meta["spec"]["models"].items()
        if Path(model["location"]).is_absolute()
    }
    places |= {resolve_model(name).location: name for name in POCKET_NAMES}
    for place in sorted(places, key=len, reverse=True):
        text = text.replace(json.dumps(place, ensure_ascii=False)[1:-1], places[place])
        text = text.replace(place, places[place])
    return text.encode()


def _upload(
    files: Mapping[str, bytes],
    cell: str,
    destination: Destination,
    make: Callable[[], Any] | None,
) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import LocalTokenNotFoundError

    repo = destination.repo
    try:
        api = (make or HfApi)()
        with tempfile.TemporaryDirectory(prefix="promptsweep-push-") as scratch:
            for name, content in files.items():
                (Path(scratch) / name).write_bytes(content)
            api.create_repo(repo, private=destination.private or None, exist_ok=True)
            made = api.upload_folder(
                repo_id=repo, folder_path=scratch, commit_message=f"Prompt {cell}"
            )
    except LocalTokenNotFoundError:
        raise InputError(
            "--repo: no token for the Hugging Face Hub; allowed: HF_TOKEN in the environment, or"
            " hf auth login"
        ) from None
    except _failures() as error:
        reason = redact(" ".join(str(error).split()) or type(error).__name__)[:_LONGEST]
        raise InputError(
            f"--repo: {repo} could not be written ({reason.rstrip('.')}); allowed: a repository"
            " that the token in HF_TOKEN or of hf auth login may write, and a connection to the"
            " Hub (HF_HUB_OFFLINE not set)"
        ) from None
    return redact(str(getattr(made, "commit_url", made)))


def _failures() -> tuple[type[Exception], ...]:
    """What the Hub's client raises; the HTTP client below it has changed its name before."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    below = [
        base
        for base in HfHubHTTPError.__mro__
        if issubclass(base, Exception) and base.__name__ in ("HTTPError", "RequestException")
    ]
    return (OSError, HFValidationError, *below)


def format_upload(found: Upload) -> str:
    to = found.destination
    where = f"https://huggingface.co/{to.repo}{' (private if new)' if to.private else ''}"
    lines = [found.line, *line_of(found.stands)]
    lines += [f"  {name}  {len(content):,} bytes" for name, content in found.files.items()]
    if found.url is None:
        lines.append(f"dry run: nothing was uploaded to {where}")
    else:
        lines.append(f"uploaded to {where}: {found.url}")
    return "\n".join(lines)
