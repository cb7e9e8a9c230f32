"""Series of made-up services: their history, which becomes blocks of the database, and their present, which is scraped.

So windows of minutes, hours and a week in the rules' expressions stay as they are: what they need to look at is there
from the beginning, and a fault is a burst that outweighs it.
"""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from servers import free_port

from genai_stack.binaries import require

STEP_SECONDS = 15
Series = tuple[str, tuple[tuple[str, str], ...]]
"""Name, and labels in order."""


def series(name: str, **labels: str) -> Series:
    """Name a series."""
    return name, tuple(sorted(labels.items()))


def line(key: Series, value: float, at: float | None = None, **more: str) -> str:
    """A line of the text format; ``at`` in Unix seconds."""
    labels = ",".join(f'{name}="{text}"' for name, text in sorted({**dict(key[1]), **more}.items()))
    return f"{key[0]}{{{labels}}} {value!r}" + (f" {at:.3f}" if at is not None else "")


class Feed:
    """Counters that a server exposes; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[Series, float] = {}
        self._history: list[tuple[Series, list[tuple[float, float]], bool]] = []
        self.port = free_port()
        self.instance = f"127.0.0.1:{self.port}"

    def counter(
        self,
        key: Series,
        per_second: float,
        seconds: float,
        now: float,
        jumps: Mapping[float, float] | None = None,
        scraped: bool = True,
    ) -> None:
        """Have a counter grown evenly for some time; ``jumps`` adds to it at seconds before now.

        One that is not ``scraped`` is recorded by a rule, which goes on with it.
        """
        samples = []
        for i in range(int(seconds / STEP_SECONDS), -1, -1):
            age = i * STEP_SECONDS
            value = (seconds - age) * per_second + sum(more for before, more in (jumps or {}).items() if before >= age)
            samples.append((now - age, value))
        self._history.append((key, samples, scraped))
        if scraped:
            self._values[key] = samples[-1][1]

    def recorded(self, key: Series, value: float, begin: float, end: float) -> None:
        """A series that a rule has recorded evenly between two Unix times; the rule goes on with it."""
        steps = int((end - begin) / STEP_SECONDS)
        self._history.append((key, [(begin + i * STEP_SECONDS, value) for i in range(steps)], False))

    def add(self, changes: Mapping[Series, float]) -> None:
        """Add to counters, all at once."""
        with self._lock:
            for key, more in changes.items():
                self._values[key] = self._values.get(key, 0.0) + more

    def text(self) -> str:
        """What is scraped."""
        with self._lock:
            return "".join(line(key, value) + "\n" for key, value in self._values.items())

    def write_history(self, folder: Path) -> None:
        """Make blocks of a database of the history."""
        target = {"job": "genai-exporter", "instance": self.instance}
        samples: Iterator[tuple[Series, float, float, bool]] = (
            (key, value, at, scraped) for key, all_samples, scraped in self._history for at, value in all_samples
        )
        # Lines of one series must stand together only by name; times within a series rise.
        lines = [line(key, value, at, **(target if scraped else {})) for key, value, at, scraped in samples]
        source = folder.parent / "history.txt"
        source.write_text("\n".join([*lines, "# EOF\n"]))
        command = [require("promtool"), "tsdb", "create-blocks-from", "openmetrics", source, folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr


@contextmanager
def served(feed: Feed) -> Iterator[None]:
    """Expose the counters."""

    class Handler(BaseHTTPRequestHandler):
        """Answers scrapes."""

        def do_GET(self) -> None:
            """Answer one."""
            body = feed.text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", feed.port), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def timed(act: Callable[[], object]) -> float:
    """Unix time just before something was done."""
    began = time.time()
    act()
    return began
