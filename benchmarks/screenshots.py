"""Pictures of a report as a browser shows it, wide and narrow, light and dark, and its screens.

    python -m benchmarks.screenshots PAGE... --out FOLDER [--open] [--chromium PROGRAM]

Needs Chromium or Chrome. Writes one PNG a screen (1280 × 800 or 400 × 800 pixels), named
``PAGE_width_scheme_number.png``, and prints how many screens and words the page has and what is
wider than the screen. ``FOLDER`` may not lie in a repository: pictures are looked at, not kept.
"""

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WIDTHS = (1280, 400)
SCHEMES = ("light", "dark")
HEIGHT = 800
_OFFLINE = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
_WORDS = "document.body.innerText.split(/\\s+/).filter(Boolean).length"
_OPEN = "document.querySelectorAll('details').forEach(item => item.open = true)"
_TALL = "document.documentElement.scrollHeight"
# What makes the page itself scroll sideways; a box that scrolls by itself does not.
_WIDE = """[...document.querySelectorAll('body *')].filter(item =>
  !item.closest('.scroll, figure, pre') && item.getBoundingClientRect().right > innerWidth + 1)
  .slice(0, 5).map(item => item.tagName + '.' + item.className)"""


class Browser:
    """A browser that is driven through two pipes by the DevTools protocol."""

    def __init__(self, send: int, receive: int) -> None:
        self.send, self.receive = send, receive
        self.number, self.rest = 0, b""
        self.session: str | None = None

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to one command.

        Raises:
            RuntimeError: the browser refuses it or is gone.
        """
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.send, json.dumps(message).encode() + b"\0")
        for answer in self._answers():
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result
        raise RuntimeError(f"{method}: the browser ended")

    def wait(self, event: str) -> None:
        """Until something has happened."""
        for answer in self._answers():
            if answer.get("method") == event:
                return

    def value(self, script: str) -> Any:
        """What a script gives."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        return found["result"].get("value")

    def _answers(self) -> Iterator[dict[str, Any]]:
        while True:
            while b"\0" not in self.rest:
                more = os.read(self.receive, 1 << 20)
                if not more:
                    return
                self.rest += more
            line, self.rest = self.rest.split(b"\0", 1)
            yield json.loads(line)


@contextmanager
def browser(program: str) -> Iterator[Browser]:
    """A browser with an empty profile and one page, offline."""
    commands, ours = os.pipe()
    theirs, answers = os.pipe()
    with tempfile.TemporaryDirectory(prefix="screenshots-", ignore_cleanup_errors=True) as profile:
        # It reads commands from 3 and writes answers to 4, whatever numbers the pipes have here.
        shell = f'exec "$@" 3<&{commands} 4>&{answers}'
        running = subprocess.Popen(
            ["bash", "-c", shell, "bash", program, *_OFFLINE, f"--user-data-dir={profile}"],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        try:
            found = Browser(ours, theirs)
            target = found.ask("Target.createTarget", url="about:blank")["targetId"]
            attached = found.ask("Target.attachToTarget", targetId=target, flatten=True)
            found.session = attached["sessionId"]
            found.ask("Page.enable")
            yield found
        finally:
            running.terminate()
            running.wait(20)
            os.close(ours)
            os.close(theirs)


def shoot(found: Browser, page: Path, width: int, scheme: str, opened: bool) -> Iterator[bytes]:
    """Load a page; a PNG of every screen of it from the top, and the last of what is left."""
    found.ask(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=HEIGHT,
        deviceScaleFactor=1,
        mobile=False,
    )
    found.ask(
        "Emulation.setEmulatedMedia",
        features=[{"name": "prefers-color-scheme", "value": scheme}],
    )
    found.ask("Page.navigate", url=page.resolve().as_uri())
    found.wait("Page.loadEventFired")
    if opened:
        found.value(_OPEN)
    tall = int(found.value(_TALL))
    for top in range(0, tall, HEIGHT):
        clip = {"x": 0, "y": top, "width": width, "height": min(HEIGHT, tall - top), "scale": 1}
        image = found.ask(
            "Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True
        )
        yield base64.b64decode(image["data"])


def main() -> int:
    """Exit code 1 where a page is wider than a screen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--open", action="store_true", help="with everything unfolded")
    parser.add_argument("--chromium", metavar="PROGRAM", default=_program())
    options = parser.parse_args()
    if not options.chromium:
        sys.exit("--chromium: found no chromium, chrome or google-chrome; allowed: its path")
    inside = [folder for folder in (options.out.resolve(), *options.out.resolve().parents)
              if (folder / ".git").exists()]  # fmt: skip
    if inside:
        sys.exit(f"--out: found a folder of the repository {inside[0]}; allowed: one elsewhere")
    options.out.mkdir(parents=True, exist_ok=True)
    broad = False
    with browser(options.chromium) as found:
        for page in options.pages:
            for width in WIDTHS:
                for scheme in SCHEMES:
                    images = shoot(found, page, width, scheme, options.open)
                    for number, image in enumerate(images, 1):
                        name = f"{_stem(page)}_{width}_{scheme}_{number:02d}.png"
                        (options.out / name).write_bytes(image)
                screens, wide = found.value(_TALL) / HEIGHT, found.value(_WIDE)
                words = found.value(_WORDS)
                print(f"{page}: {width} px, {screens:.1f} screens, {words:,} words to see"
                      + (f", too wide: {', '.join(wide)}" if wide else ""), flush=True)  # fmt: skip
                broad = broad or bool(wide)
    return int(broad)


def _stem(page: Path) -> str:
    """Reports are all called alike: the folder tells them apart."""
    return f"{page.resolve().parent.name}-{page.stem}"


def _program() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next(filter(None, map(shutil.which, names)), None)


if __name__ == "__main__":
    sys.exit(main())
