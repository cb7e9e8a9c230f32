"""A headless Chromium, told what to do over its DevTools protocol."""

import base64
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from servers import end, get, wait_for
from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome")


class Page:
    """One tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []
        """What the browser wrote to its console: errors, and violations of the page's policy."""
        for domain in ("Page", "Runtime", "Log"):
            self._ask(f"{domain}.enable")

    def open(self, url: str, width: int = 1280, height: int = 900) -> None:
        """Load a page in a window of that size."""
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self._ask("Page.navigate", url=url)
        wait_for("the page", lambda: self.value("document.readyState") == "complete")

    def value(self, expression: str) -> Any:
        """Value of a JavaScript expression in the page."""
        answer = self._ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def frames(self) -> list[str]:
        """Addresses of the frames that run apart from the page, because they may not reach it."""
        targets = self._ask("Target.getTargets")["targetInfos"]
        return [target["url"] for target in targets if target["type"] == "iframe"]

    def screenshot(self, path: Path) -> None:
        """Keep a picture of what is seen."""
        path.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot", format="png")["data"]))

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(30))
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            if message.get("method") == "Log.entryAdded":
                self.complaints.append(message["params"]["entry"]["text"])
            if message.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(str(message["params"]["exceptionDetails"]))


@contextmanager
def page(folder: Path) -> Iterator[Page]:
    """Run a browser with a profile of its own below ``folder``."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    assert program, "this test looks at a page in Chromium; install it, on Debian with: apt install chromium"
    profile = folder / "profile"
    command = [
        *(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
        *("--remote-debugging-port=0", f"--user-data-dir={profile}", "--no-proxy-server", "about:blank"),
    ]
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "HOME": str(folder)})
    try:
        told = wait_for("the browser", lambda: _told(profile / "DevToolsActivePort"))
        targets = json.loads(get(f"http://127.0.0.1:{told[0]}/json/list"))
        address = next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page")
        with connect(address, max_size=None, proxy=None) as socket:
            yield Page(socket)
    finally:
        end(process)


def _told(path: Path) -> list[str] | None:
    """Lines of the file in which the browser says its port, None while it is not whole."""
    if not path.exists():
        return None
    lines = path.read_text().splitlines()
    return lines if len(lines) == 2 else None
