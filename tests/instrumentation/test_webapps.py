"""Tests of the endpoints that applications mount: what they answer, on real servers and step by step."""

import asyncio
import contextlib
import gzip
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from functools import partial
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.validate import validator

import pytest
import uvicorn
from prometheus_client import Counter, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from genai_metrics import asgi_app, llm_call_in_flight, track_llm_call, webapps, wsgi_app
from genai_metrics.births import Births

if TYPE_CHECKING:
    from conftest import Metrics

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
CALLS = "genai_llm_calls_total{"

Answer = tuple[int, dict[str, str], bytes]


def lower(headers: Message) -> dict[str, str]:
    """Headers by their names in lower case."""
    return {name.lower(): text for name, text in headers.items()}


def ask(url: str, method: str = "GET", **headers: str) -> Answer:
    """Status, headers and body of a request; nothing is decoded."""
    request = urllib.request.Request(url, method=method, headers={k.replace("_", "-"): v for k, v in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, lower(response.headers), response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, lower(error.headers), error.read()


@contextlib.contextmanager
def uvicorn_serving(app: Any) -> Iterator[str]:
    """Serve an ASGI application on a free port; yield its address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            assert time.monotonic() < deadline
            assert thread.is_alive()
            time.sleep(0.005)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)


class SilentHandler(WSGIRequestHandler):
    """Writes no log."""

    def log_message(self, *_: object) -> None:
        """Ignore a request."""


@contextlib.contextmanager
def wsgiref_serving(app: Any) -> Iterator[str]:
    """Serve a WSGI application on a free port, held to the letter of WSGI; yield its address."""
    with make_server("127.0.0.1", 0, validator(app), handler_class=SilentHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(30)


@pytest.fixture(params=["asgi", "wsgi"])
def served(request: pytest.FixtureRequest, metrics: "Metrics") -> Iterator[str]:
    """Either application on a real server, series shown with their values at once; its address."""
    of: dict[str, Any] = {"registry": metrics.registry, "born_at_zero_seconds": 0.0}
    serving = uvicorn_serving(asgi_app(**of)) if request.param == "asgi" else wsgiref_serving(wsgi_app(**of))
    with serving as address:
        yield address


def value(body: bytes, start: str = CALLS) -> float:
    """Sum of the samples whose lines begin with ``start``."""
    return sum(float(line.rpartition(" ")[2]) for line in body.decode().splitlines() if line.startswith(start))


class TestOnServers:
    """Both applications over real sockets."""

    def test_text(self, metrics: "Metrics", served: str) -> None:
        """Without an Accept header the text format comes, with the numbers that prometheus_client shows, too."""
        track_llm_call(model="gpt-4", duration=0.5)
        status, headers, body = ask(f"{served}/metrics", accept="")
        assert status == 200
        assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert value(body) == 1
        ours, theirs = (
            [
                (sample.name, sample.labels, sample.value)
                for family in parse_text(text.decode())
                for sample in family.samples
            ]
            for text in (body, generate_latest(metrics.registry))
        )
        assert ours == theirs

    def test_openmetrics(self, metrics: "Metrics", served: str) -> None:
        """Prometheus 3 gets OpenMetrics, which ends as it must."""
        Counter("own", "Of the application.", registry=metrics.registry).inc(2)
        track_llm_call(model="gpt-4")
        status, headers, body = ask(f"{served}/metrics", accept=PROMETHEUS_3)
        assert status == 200
        assert headers["content-type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
        assert body.endswith(b"# EOF\n")
        assert body.count(b"# EOF") == 1
        families = {f.name: f for f in openmetrics_parser.text_string_to_metric_families(body.decode())}  # type: ignore[no-untyped-call]
        assert [sample.value for sample in families["genai_llm_calls"].samples] == [1]
        assert families["own"].samples[0].value == 2

    @pytest.mark.parametrize("accept", ["text/plain", PROMETHEUS_3])
    def test_gzip(self, metrics: "Metrics", served: str, accept: str) -> None:
        """Compressed for those who accept it, and the same inside."""
        track_llm_call(model="gpt-4")
        _, plain_headers, plain = ask(f"{served}/metrics", accept=accept)
        _, headers, body = ask(f"{served}/metrics", accept=accept, accept_encoding="gzip")
        assert headers["content-encoding"] == "gzip"
        assert "content-encoding" not in plain_headers
        assert gzip.decompress(body) == plain
        assert len(body) < len(plain) / 3

    def test_head(self, metrics: "Metrics", served: str) -> None:
        """HEAD has the headers of GET and no body, on our path and elsewhere."""
        _, of_get, _ = ask(f"{served}/metrics", accept=PROMETHEUS_3)
        status, of_head, body = ask(f"{served}/metrics", "HEAD", accept=PROMETHEUS_3)
        assert (status, body) == (200, b"")
        for name in ("content-type", "vary"):
            assert of_head[name] == of_get[name]
        assert ask(f"{served}/other", "HEAD")[::2] == (404, b"")

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
    def test_other_methods(self, served: str, method: str) -> None:
        """Whoever wants to change something is told what is possible."""
        status, headers, body = ask(f"{served}/metrics", method)
        assert (status, body) == (405, b"Only GET, HEAD\n")
        assert headers["allow"] == "GET, HEAD"

    @pytest.mark.parametrize("path", ["/", "/metricsx", "/metrics/", "/metrics/x", "/x/metrics"])
    def test_other_paths(self, served: str, path: str) -> None:
        """Only our own path is ours."""
        assert ask(f"{served}{path}")[0] == 404

    def test_rest_of_the_registry(self, metrics: "Metrics", served: str) -> None:
        """Other collectors are shown, too, and our families once."""
        Counter("own", "Of the application.", ["label"], registry=metrics.registry).labels('a "b"\n').inc(2)
        track_llm_call(model="gpt-4")
        _, _, body = ask(f"{served}/metrics")
        assert value(body, "own_total{") == 2
        assert value(body) == 1
        heads = [line for line in body.decode().splitlines() if line.startswith("# TYPE")]
        assert len(heads) == len(set(heads))
        assert {f.name for f in parse_text(body.decode())} >= {"own", "genai_llm_calls"}

    def test_metrics_directory(self, metrics: "Metrics", served: str) -> None:
        """With a metrics directory the exporter shows our metrics; here is the rest."""
        Counter("own", "Of the application.", registry=metrics.registry).inc()
        metrics.configure(files=True)
        track_llm_call(model="gpt-4")
        _, _, body = ask(f"{served}/metrics")
        assert b"own_total 1.0" in body
        assert b"genai_" not in body

    def test_failing_collector(self, metrics: "Metrics", served: str, caplog: pytest.LogCaptureFixture) -> None:
        """A collector that raises is logged; our families come, and the answer ends properly."""

        class Failing(Collector):
            def collect(self) -> Any:
                raise RuntimeError("collector broke")

        metrics.registry.register(Failing())  # not asked at registration: it has no describe()
        track_llm_call(model="gpt-4")
        with caplog.at_level(logging.ERROR, logger="genai_metrics"):
            status, _, body = ask(f"{served}/metrics", accept=PROMETHEUS_3)
        assert status == 200
        assert value(body) == 1
        assert body.endswith(b"# EOF\n")
        assert "collector broke" in caplog.text

    def test_family_that_cannot_be_encoded(
        self, metrics: "Metrics", served: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It alone is missing, and named in the log; what comes after it is there."""

        class Odd(Collector):
            def collect(self) -> Any:
                yield GaugeMetricFamily("odd", "Odd.", value="no number")  # type: ignore[arg-type]
                yield GaugeMetricFamily("even", "Even.", value=2)

        metrics.registry.register(Odd())
        track_llm_call(model="gpt-4")
        with caplog.at_level(logging.ERROR, logger="genai_metrics"):
            status, _, body = ask(f"{served}/metrics", accept=PROMETHEUS_3)
        assert status == 200
        assert value(body) == 1
        assert b"\neven 2.0\n" in body
        assert b"odd" not in body
        assert "the metric odd cannot be shown" in caplog.text


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of the endpoints made from now on, in a list of one."""
    now = [1000.0]
    monkeypatch.setattr(webapps, "Births", partial(Births, clock=lambda: now[0]))
    return now


def scrape(app: Any, path: str = "/metrics", **scope: Any) -> bytes:
    """Body that an ASGI application sends."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    base = {"type": "http", "method": "GET", "path": path, "headers": [], "root_path": ""}
    asyncio.run(app({**base, **scope}, receive, send))
    assert sent[0]["type"] == "http.response.start"
    return b"".join(message.get("body", b"") for message in sent)


class TestBornAtZero:
    """New series are 0 first."""

    def test_new_series(self, metrics: "Metrics", clock: list[float]) -> None:
        """From its first scrape a series is 0 for 20 s, then it has its value, and stays above 0."""
        app = asgi_app(registry=metrics.registry)
        track_llm_call(model="gpt-4", cost_usd=50.0)
        shown = []
        for seconds in (0, 15, 15, 15):
            clock[0] += seconds
            shown.append((value(scrape(app)), value(scrape(app), "genai_llm_cost_usd_total{")))
        assert shown == [(0, 0), (0, 0), (1, 50), (1, 50)]
        track_llm_call(model="full")
        assert value(scrape(app)) == 1
        clock[0] += 20
        assert value(scrape(app)) == 2

    def test_gauges_are_not(self, metrics: "Metrics", clock: list[float]) -> None:
        """A gauge is what it is."""

        app = asgi_app(registry=metrics.registry)
        with llm_call_in_flight(model="gpt-4"):
            assert value(scrape(app), "genai_llm_calls_in_flight{") == 1

    def test_no_counter_falls_when_settings_change(self, metrics: "Metrics", clock: list[float]) -> None:
        """A series that was shown keeps its value through configure(): a fall would count everything twice."""
        app = asgi_app(registry=metrics.registry)
        track_llm_call(model=None)  # type: ignore[arg-type]  # a fault: its counter was there before, as 0
        scrape(app)
        clock[0] += 20
        before = scrape(app)
        assert value(before) == value(before, "genai_recorder_faults_total{") == 1
        metrics.configure(label_caps={"tenant": 5})
        assert scrape(app) == before


class TestSomeMetrics:
    """``name[]``."""

    def test_own_metrics_and_the_registrys(self, metrics: "Metrics", served: str) -> None:
        """Families and samples by name, in either format; unknown names are an empty answer."""
        Counter("app_logins", "Logins.", registry=metrics.registry).inc(3)
        track_llm_call(model="gpt-4", duration=1.0)
        query = "name[]=genai_llm_calls_total&name%5B%5D=app_logins_total&name[]=genai_llm_call_duration_seconds_count"
        _, _, body = ask(f"{served}/metrics?{query}")
        found = {sample.name for family in parse_text(body.decode()) for sample in family.samples}
        assert found == {"genai_llm_calls_total", "app_logins_total", "genai_llm_call_duration_seconds_count"}
        _, headers, body = ask(f"{served}/metrics?{query}", accept=PROMETHEUS_3, accept_encoding="gzip")
        assert headers["content-encoding"] == "gzip"
        assert gzip.decompress(body).endswith(b"# EOF\n")
        assert ask(f"{served}/metrics?name[]=unknown")[2] == b""
        assert ask(f"{served}/metrics?name[]=")[2] == b""
        assert ask(f"{served}/metrics?other=1%5B")[2] == ask(f"{served}/metrics")[2]

    def test_only_what_is_shown_grows_up(self, metrics: "Metrics", clock: list[float]) -> None:
        """Metrics that only filters left out are born at zero when they are first shown."""
        endpoint = webapps._Endpoint(metrics.registry, 20.0)
        endpoint._births = Births(20.0, lambda: clock[0])

        def scrape(*names: str) -> tuple[float, float]:
            asked = frozenset(names) if names else None
            body = b"".join(endpoint.respond("GET", "/", "/", False, {"accept": "", "accept-encoding": ""}, asked)[2])
            return value(body), value(body, "genai_llm_input_tokens_total{")

        track_llm_call(model="gpt-4", input_tokens=7)
        assert scrape("genai_llm_calls_total") == (0, 0)
        clock[0] += 20
        assert scrape("genai_llm_calls_total") == (1, 0)
        assert scrape() == (1, 0)
        clock[0] += 20
        assert scrape() == (1, 7)
        track_llm_call(model="other", input_tokens=7)
        assert scrape() == (1, 7)
        clock[0] += 20
        assert scrape("genai_llm_input_tokens_total") == (0, 14)
        assert scrape() == (2, 14)


class TestInApplications:
    """Mounted in frameworks, and beside other tasks."""

    def test_mounted_in_starlette(self, metrics: "Metrics") -> None:
        """At its mount point, with the application's routes untouched; also below a proxy's prefix."""
        track_llm_call(model="gpt-4")
        app = Starlette(
            routes=[
                Route("/", lambda _: PlainTextResponse("home")),
                Mount("/metrics", app=asgi_app(registry=metrics.registry, born_at_zero_seconds=0)),
                Mount("/deep/er", app=asgi_app("/own", registry=metrics.registry, born_at_zero_seconds=0)),
            ]
        )
        with uvicorn_serving(app) as address:
            assert value(ask(f"{address}/metrics")[2]) == 1
            assert value(ask(f"{address}/metrics/")[2]) == 1
            assert value(ask(f"{address}/deep/er/own")[2]) == 1
            assert ask(f"{address}/metrics/other")[0] == 404
            assert ask(f"{address}/")[2] == b"home"

    def test_loop_gets_control_between_chunks(self, metrics: "Metrics") -> None:
        """Other tasks run at least once for each chunk that is sent, and while many blocks are read."""
        metrics.configure(label_caps={"tenant": 5000})
        for i in range(4000):
            track_llm_call(model="gpt-4", tenant=f"t{i}")
        app = asgi_app(registry=metrics.registry)
        chunks = turns = 0
        before_first: int | None = None

        async def send(message: Any) -> None:
            # As a server whose buffer takes everything: it never waits.
            nonlocal chunks, before_first
            if message.get("body"):
                chunks += 1
                before_first = turns if before_first is None else before_first

        async def tick() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async def main() -> None:
            ticking = asyncio.create_task(tick())
            await asyncio.sleep(0)
            scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": [], "root_path": ""}
            await app(scope, lambda: asyncio.sleep(0, {}), send)
            ticking.cancel()

        asyncio.run(main())
        assert chunks > 50
        assert turns >= chunks
        assert before_first is not None
        assert before_first >= 4000 * 2 // 256

    def test_other_protocols(self, metrics: "Metrics") -> None:
        """A websocket is refused with a plain word."""
        with pytest.raises(ValueError, match="over HTTP, not websocket"):
            scrape(asgi_app(registry=metrics.registry), type="websocket")

    def test_concurrent_scrapes(self, metrics: "Metrics", served: str) -> None:
        """Many at once, while calls are recorded, are all answered whole."""
        answers: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: answers.append(ask(f"{served}/metrics", accept=PROMETHEUS_3)[2]))
            for _ in range(10)
        ]
        for thread in threads:
            thread.start()
        for i in range(2000):
            track_llm_call(model="gpt-4", tenant=f"t{i % 500}", input_tokens=7)
        for thread in threads:
            thread.join()
        assert len(answers) == 10
        for body in answers:
            assert body.endswith(b"# EOF\n")
            assert value(body, "genai_llm_input_tokens_total{") == 7 * value(body)
