"""Tests of the formats in which ``asgi_app`` and ``wsgi_app`` answer, and of what others registered beside ours."""

import asyncio
import gzip
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parse_text

import genai_metrics
from genai_metrics.catalog import LLM_CALL
from genai_metrics.negotiation import OPENMETRICS_TYPE, TEXT_TYPE

# prometheus_client's OpenMetrics parser carries no types.
parse_openmetrics: Callable[[str], Iterable[Metric]] = openmetrics_parser.text_string_to_metric_families

CALLS = LLM_CALL.metrics[0].name
# What Prometheus 3 sends, in short.
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
# OpenMetrics comes first, and is wanted least.
TEXT_FIRST = "application/openmetrics-text;version=1.0.0;q=0.1,text/plain;version=0.0.4;q=0.9"

Header = tuple[str, str]
Ask = Callable[..., tuple[dict[str, str], list[bytes]]]


def ask_asgi(registry: CollectorRegistry, *headers: Header, method: str = "GET") -> tuple[dict[str, str], list[bytes]]:
    """Response headers, in lower case, and body chunks of the ASGI application."""
    app = genai_metrics.asgi_app(registry=registry, born_at_zero_seconds=0)
    messages: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        """A request without body."""
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        """Keep what is sent."""
        messages.append(message)

    async def request() -> None:
        """One request."""
        raw = [(name.encode(), value.encode()) for name, value in headers]
        await app({"type": "http", "method": method, "path": "/metrics", "headers": raw}, receive, send)

    asyncio.run(request())
    assert messages[0]["status"] == 200
    answered = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
    return answered, [message["body"] for message in messages[1:]]


def ask_wsgi(registry: CollectorRegistry, *headers: Header, method: str = "GET") -> tuple[dict[str, str], list[bytes]]:
    """The same of the WSGI application; servers join headers of one name."""
    app = genai_metrics.wsgi_app(registry=registry, born_at_zero_seconds=0)
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": "/metrics"}
    for name, value in headers:
        variable = f"HTTP_{name.upper().replace('-', '_')}"
        environ[variable] = f"{environ[variable]},{value}" if variable in environ else value
    answered: dict[str, str] = {}

    def start_response(status: str, head: list[tuple[str, str]]) -> None:
        """Keep the head."""
        assert status == "200 OK"
        answered.update((name.lower(), value) for name, value in head)

    return answered, list(app(environ, start_response))


@pytest.fixture(params=[ask_asgi, ask_wsgi])
def ask(request: pytest.FixtureRequest, metrics: Any) -> Ask:
    """Ask either application, after one recorded call."""
    genai_metrics.track_llm_call(mode="1", model="m", provider="p", cost_usd=0.5)
    chosen: Ask = request.param
    return chosen


def others() -> CollectorRegistry:
    """A registry as an application's own."""
    registry = CollectorRegistry()
    Counter("jobs", "Jobs done.", registry=registry).inc(3)
    Gauge("queue.length", "A name that is not of the classic letters.", registry=registry).set(7)
    return registry


def values(families: Iterable[Metric]) -> dict[str, float]:
    """Value by name, the last sample of each."""
    return {sample.name: sample.value for family in families for sample in family.samples}


class TestFormats:
    """The format that the client prefers, for our families and others."""

    def test_text_unless_openmetrics_is_asked_for(self, ask: Ask) -> None:
        """Text 0.0.4 with everything in it; names outside the classic letters are escaped."""
        head, chunks = ask(others())
        assert head["content-type"] == TEXT_TYPE
        assert head["vary"] == "Accept, Accept-Encoding"
        text = b"".join(chunks).decode()
        assert "# EOF" not in text
        found = values(parse_text(text))
        assert (found[CALLS], found["jobs_total"], found["queue_length"]) == (1, 3, 7)

    def test_quality_counts_and_not_the_order(self, ask: Ask) -> None:
        """A client that names OpenMetrics first and ranks text higher gets text."""
        head, chunks = ask(others(), ("accept", TEXT_FIRST))
        assert head["content-type"] == TEXT_TYPE
        assert values(parse_text(b"".join(chunks).decode()))["jobs_total"] == 3

    def test_openmetrics_for_prometheus_3(self, ask: Ask) -> None:
        """OpenMetrics 1.0.0 with one ``# EOF``, and with quoted names, as the client allows them."""
        head, chunks = ask(others(), ("accept", PROMETHEUS_3))
        assert head["content-type"] == f"{OPENMETRICS_TYPE}; escaping=allow-utf-8"
        text = b"".join(chunks).decode()
        assert text.count("# EOF\n") == 1
        assert text.endswith("# EOF\n")
        found = values(parse_openmetrics(text))
        assert (found[CALLS], found["jobs_total"], found["queue.length"]) == (1, 3, 7)

    def test_openmetrics_with_classic_names(self, ask: Ask) -> None:
        """A client that does not ask for quoted names gets escaped ones."""
        head, chunks = ask(others(), ("accept", "application/openmetrics-text;version=1.0.0"))
        assert head["content-type"] == OPENMETRICS_TYPE
        assert values(parse_openmetrics(b"".join(chunks).decode()))["queue_length"] == 7

    def test_headers_in_several_lines_count_as_one(self, ask: Ask) -> None:
        """The first line is not forgotten over the second."""
        lines = [("accept", "application/openmetrics-text;q=0.9"), ("accept", "text/plain;q=0.5")]
        assert ask(others(), *lines)[0]["content-type"] == OPENMETRICS_TYPE

    @pytest.mark.parametrize("coding", ["gzip", "*", "br;q=1, GZIP;q=0.2"])
    def test_gzip_where_it_is_accepted(self, ask: Ask, coding: str) -> None:
        """Declared, and a sound gzip member with the same text."""
        head, chunks = ask(others(), ("accept-encoding", coding))
        assert head["content-encoding"] == "gzip"
        assert values(parse_text(gzip.decompress(b"".join(chunks)).decode()))[CALLS] == 1

    @pytest.mark.parametrize("coding", ["identity", "gzip;q=0", "gzip;q=0.000, *"])
    def test_plain_where_it_is_not(self, ask: Ask, coding: str) -> None:
        """No coding is declared, and none is there."""
        head, chunks = ask(others(), ("accept-encoding", coding))
        assert "content-encoding" not in head
        assert b"".join(chunks).startswith(b"# HELP ")

    def test_head_has_the_same_headers(self, ask: Ask) -> None:
        """HEAD tells format and coding, without a body."""
        headers = [("accept", PROMETHEUS_3), ("accept-encoding", "gzip")]
        got, head = ask(others(), *headers), ask(others(), *headers, method="HEAD")
        assert head[0] == got[0]
        assert b"".join(head[1]) == b""

    def test_the_answer_comes_in_chunks(self, ask: Ask) -> None:
        """Each family begins a chunk of its own, others' too: nothing is collected into one body."""
        _, chunks = ask(others(), ("accept", PROMETHEUS_3))
        starts = [chunk for chunk in chunks if chunk.startswith(b"# HELP ")]
        assert len(starts) == b"".join(chunks).count(b"# HELP ")
