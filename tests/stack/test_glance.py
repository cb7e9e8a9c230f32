"""The line of live numbers: asked of a stand-in for Prometheus that keeps the queries."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from genai_stack.glance import Glance


class Prometheus:
    """Answers 2 to every query."""

    def __init__(self) -> None:
        self.queries: list[str] = []
        keeper = self

        class Handler(BaseHTTPRequestHandler):
            """Keeps what it was asked."""

            def do_GET(self) -> None:
                """Answer."""
                keeper.queries += parse_qs(urlsplit(self.path).query)["query"]
                body = json.dumps({"data": {"result": [{"value": [0, "2"]}]}}).encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"

    @property
    def windows(self) -> set[str]:
        """Windows of all queries since it was last asked for them."""
        found = set(re.findall(r"\[(\w+)\]", " ".join(self.queries)))
        self.queries.clear()
        return found


@pytest.fixture
def prometheus() -> Iterator[Prometheus]:
    """A stand-in that runs."""
    stand_in = Prometheus()
    thread = threading.Thread(target=stand_in.server.serve_forever)
    thread.start()
    try:
        yield stand_in
    finally:
        stand_in.server.shutdown()
        stand_in.server.server_close()
        thread.join()


class TestGlance:
    """Which time the numbers are of."""

    def test_nothing_from_before_its_start_counts(self, prometheus: Prometheus) -> None:
        """Windows begin with this run, not with the one that filled Prometheus before, and end at a minute."""
        now = [1000.0]
        glance = Glance(prometheus.url, clock=lambda: now[0])
        assert (glance.text(), prometheus.windows) == ("", set())
        now[0] += 31.5
        assert glance.text() == "2.0 LLM calls/s, 2.0 % failed, p95 2.00 s, 2 tokens/s, $2.00/h"
        assert prometheus.windows == {"31s"}
        now[0] += 3.0
        assert (glance.text()[:3], prometheus.windows) == ("2.0", set()), "asked at most each 5 s"
        now[0] += 3600.0
        glance.text()
        assert prometheus.windows == {"60s"}
