"""Files of the repository that the pages link to, such as examples, become files of the site.

``docs/`` links to them by ``../``, as GitHub wants it; in the site they lie beside the pages.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("CONTRIBUTING.md", "CHANGELOG.md", "trainables/tasks/README.md")
LINK = re.compile(r"(\]\()(\.\./)+([^)#\s]+)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages above, and what any page links to outside ``docs/``."""
    texts = [page.content_string for page in files.documentation_pages()]
    linked = {found[3] for text in texts for found in LINK.finditer(text)}
    for name in sorted({*PAGES, *linked}):
        if (ROOT / name).is_file():
            files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links that leave ``docs/``, or lead into it, to where the files lie in the site."""
    if page.file.src_uri in PAGES:
        return markdown.replace("](docs/", "](")
    return LINK.sub(r"\1\3", markdown)
