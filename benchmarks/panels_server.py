"""A real Prometheus over blocks that are there, and requests to it."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genai_stack.binaries import require

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_START_SECONDS = 120.0


class RefusedError(RuntimeError):
    """Prometheus does not answer a query; the text says why."""


class Server:
    """Where it listens."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **parameters: str) -> Any:
        """Return what the interface of that path answers; raises ``RefusedError``, ``OSError`` without an answer."""
        address = f"{self._url}/api/v1/{path}"
        try:
            # Posted, as Grafana does; what lists labels is asked for.
            body = urllib.parse.urlencode(parameters)
            request = address if path.startswith("query") else f"{address}?{body}"
            data = body.encode() if path.startswith("query") else None
            with _OPENER.open(request, data, timeout=300) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise RefusedError(json.loads(error.read()).get("error", str(error))) from error

    def series(self, expression: str, at: int) -> list[Mapping[str, str]]:
        """Return the labels of an expression's result at a Unix time."""
        found = self.ask("query", query=expression, time=str(at))
        return [{}] if found["resultType"] == "scalar" else [series["metric"] for series in found["result"]]


@contextmanager
def prometheus(data: Path) -> Iterator[Server]:
    """Run Prometheus over the blocks in ``data``: it scrapes nothing, keeps everything, compacts nothing."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = data.parent / "prometheus.yml"
    config.write_text("scrape_configs: []\n")
    log = data.parent / "prometheus.log"
    command = [
        *(str(require("prometheus")), f"--config.file={config}", f"--storage.tsdb.path={data}"),
        *("--storage.tsdb.retention.time=100y", f"--web.listen-address=127.0.0.1:{port}"),
        # Merging blocks in the meantime would be measured as well.
        *("--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=2h"),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        _wait(port, process, log)
        yield Server(port)
    finally:
        process.terminate()
        process.wait()


def _wait(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"Prometheus ended:\n{log.read_text()[-2000:]}")
        try:
            _OPENER.open(f"http://127.0.0.1:{port}/-/ready", timeout=10).close()
        except OSError:
            if time.monotonic() > end:
                raise RuntimeError(f"Prometheus is not ready after {_START_SECONDS:g} s; see {log}") from None
            time.sleep(0.1)
        else:
            return
