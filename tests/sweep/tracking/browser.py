"""A headless Chromium that is told what to do through its debugging port."""

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_PATIENCE = 60.0


class Page:
    """One page of the browser."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._number = 0

    async def call(self, method: str, **params: Any) -> Any:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        while True:
            answer = json.loads((await self._socket.receive()).data)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    async def open(self, url: str) -> None:
        # Another fragment of the same page would not load it anew.
        await self.call("Page.navigate", url="about:blank")
        await self.call("Page.navigate", url=url)

    async def value(self, script: str) -> Any:
        found = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return found["result"].get("value")

    async def wait(self, script: str, seconds: float = _PATIENCE) -> Any:
        """The first value of ``script`` that counts as true."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := await self.value(script):
                return found
            await asyncio.sleep(0.25)
        text = await self.value("document.body ? document.body.innerText : ''")
        raise AssertionError(f"never true: {script}\non the page:\n{str(text)[:2000]}")

    async def texts(self) -> str:
        """All that is written on the page, in drawings too."""
        return str(await self.value("document.body.textContent"))

    async def picture(self, path: Path) -> None:
        shot = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))


def browse(folder: Path, visit: Callable[[Page], Awaitable[None]]) -> None:
    """Let ``visit`` use a page; skips the test where there is no Chromium."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    command = [
        program,
        *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--disable-dev-shm-usage", "--remote-debugging-port=0", "--window-size=1600,1000"),
        *(f"--user-data-dir={folder / 'profile'}", "about:blank"),
    ]
    environment = {**os.environ, "HOME": str(folder)}
    with (folder / "chromium.log").open("wb") as log:
        running = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        asyncio.run(_visit(_port(folder / "profile" / "DevToolsActivePort", running), visit))
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def _port(file: Path, running: "subprocess.Popen[bytes]") -> int:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and running.poll() is None:
        if file.is_file() and (lines := file.read_text().split()):
            return int(lines[0])
        time.sleep(0.1)
    pytest.skip("the browser that is installed does not start")


async def _visit(port: int, visit: Callable[[Page], Awaitable[None]]) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            pages = await answer.json()
        address = next(page for page in pages if page["type"] == "page")["webSocketDebuggerUrl"]
        async with session.ws_connect(address, max_msg_size=0) as socket:
            await visit(Page(socket))
