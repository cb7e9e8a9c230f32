"""Tests of the HTTP answers, without sockets."""

import asyncio
import gzip
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parse_text

from genai_exporter.collectors.frame import Frame
from genai_exporter.config import Config
from genai_exporter.reload import Reloader
from genai_exporter.web import create_app
from genai_metrics.yamlvalues import YamlError

# prometheus_client's OpenMetrics parser carries no types.
parse_openmetrics: Callable[[str], Iterable[Metric]] = openmetrics_parser.text_string_to_metric_families

# Word for word what Prometheus 3 sends.
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@dataclass
class FakeScrape:
    """One counter, at the number of the scrape."""

    number: int
    series: int = 1
    files: Mapping[str, int] = field(default_factory=lambda: {"live": 1, "rejected": 0})
    processes: Mapping[str, int] = field(default_factory=lambda: {"<chat>": 1})
    started: Mapping[str, float] = field(default_factory=lambda: {"<chat>": 1.7e9})
    merged: Mapping[tuple[str, str], int] = field(default_factory=lambda: {("<chat>", "tenant"): 3})

    def render(self, openmetrics: bool) -> Iterator[bytes]:
        """Yield the family as each format writes it."""
        name = "fake_scrapes" if openmetrics else "fake_scrapes_total"
        yield f"# HELP {name} Scrapes.\n# TYPE {name} counter\n".encode()
        yield f'fake_scrapes_total{{service="<chat>"}} {self.number}.0\n'.encode()


@dataclass
class FakeApplications:
    """Counts scrapes; fails while told so."""

    scrapes: int = 0
    fail: Exception | None = None
    asked: list[frozenset[str] | None] = field(default_factory=list)

    def scrape(self, names: frozenset[str] | None = None) -> FakeScrape:
        """Count, or raise."""
        self.scrapes += 1
        self.asked.append(names)
        if self.fail:
            raise self.fail
        return FakeScrape(self.scrapes)


class Clock:
    """Seconds that pass when told so."""

    now = 0.0

    def __call__(self) -> float:
        """Seconds so far."""
        return self.now


@dataclass
class Served:
    """An app to ask."""

    applications: FakeApplications = field(default_factory=FakeApplications)
    clock: Clock = field(default_factory=Clock)
    enable_lifecycle: bool = True
    load: Callable[[], Config] = Config

    def __post_init__(self) -> None:
        """Make the app."""
        self.app = create_app(
            self.applications,
            directory=Path("/run/metrics"),
            reloader=Reloader(self.load, Config()),
            frame=Frame(()),
            enable_lifecycle=self.enable_lifecycle,
            price_data_age=lambda: 60.0,
            clock=self.clock,
        )

    def ask(self, method: str, path: str, **headers: str) -> httpx.Response:
        """Send one request; keyword ``accept_encoding`` becomes the header ``accept-encoding``."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://exporter:1") as client:
                # httpx asks for everything by itself; these tests want what they name only.
                client.headers.clear()
                return await client.request(method, path, headers=given)

        return asyncio.run(send())


@pytest.fixture
def served() -> Served:
    """An app with a fake directory."""
    return Served()


class TestMetrics:
    """The scrape itself."""

    def test_text_by_default(self, served: Served) -> None:
        """Without preference: text 0.0.4, not compressed, applications first, all of it parseable."""
        response = served.ask("GET", "/metrics")
        assert response.status_code == 200
        assert response.headers["content-type"] == TEXT_TYPE
        assert "content-encoding" not in response.headers
        assert response.headers["vary"] == "Accept, Accept-Encoding"
        assert response.text.startswith("# HELP fake_scrapes_total ")
        assert "# EOF" not in response.text
        values = {s.name: s.value for family in parse_text(response.text) for s in family.samples}
        assert values["fake_scrapes_total"] == 1
        assert values["genai_exporter_series"] == 1
        assert values["genai_process_start_time_seconds"] == 1.7e9
        assert values["genai_exporter_merged_label_values"] == 3
        assert values["genai_price_data_age_seconds"] == 60

    def test_openmetrics_for_prometheus_3(self, served: Served) -> None:
        """The exact header of Prometheus 3 gets OpenMetrics 1.0.0, which ends with one ``# EOF``."""
        response = served.ask("GET", "/metrics", accept=PROMETHEUS_3)
        assert response.headers["content-type"] == OPENMETRICS_TYPE
        assert response.text.count("# EOF\n") == 1
        assert response.text.endswith("# EOF\n")
        values = {s.name: s.value for family in parse_openmetrics(response.text) for s in family.samples}
        assert values["fake_scrapes_total"] == 1
        assert values["genai_exporter_series"] == 1

    @pytest.mark.parametrize("accept", ["text/plain", PROMETHEUS_3])
    def test_gzip_when_accepted(self, served: Served, accept: str) -> None:
        """The coding is declared, the length is that of the compressed body, the content the same."""
        response = served.ask("GET", "/metrics", accept=accept, accept_encoding="gzip")
        assert response.headers["content-encoding"] == "gzip"
        assert int(response.headers["content-length"]) < len(response.content) / 2
        assert b"fake_scrapes_total" in response.content

    def test_every_request_sees_a_fresh_scrape(self, served: Served) -> None:
        """Nothing is cached between requests."""
        assert "} 1.0\n" in served.ask("GET", "/metrics").text.partition("genai_")[0]
        assert "} 2.0\n" in served.ask("GET", "/metrics").text.partition("genai_")[0]

    def test_head_has_the_headers_and_makes_no_scrape(self, served: Served) -> None:
        """HEAD tells format and coding without a length; a scrape that nobody sees would spoil born-at-zero."""
        response = served.ask("HEAD", "/metrics", accept=PROMETHEUS_3, accept_encoding="gzip")
        assert response.status_code == 200
        assert response.headers["content-type"] == OPENMETRICS_TYPE
        assert "content-length" not in response.headers
        assert response.content == b""
        assert served.applications.scrapes == 0

    def test_a_failing_directory_leaves_the_exporters_own_metrics(self, served: Served) -> None:
        """The scrape is still 200, with success 0, and without series from before."""
        served.ask("GET", "/metrics")
        served.applications.fail = PermissionError(13, "Permission denied", "/run/metrics")
        response = served.ask("GET", "/metrics")
        assert response.status_code == 200
        assert "fake_scrapes_total" not in response.text
        assert 'genai_exporter_collector_success{collector="applications"} 0.0\n' in response.text


class TestHealth:
    """What orchestrators ask."""

    def test_healthy_needs_no_directory(self, served: Served) -> None:
        """Alive is alive."""
        served.applications.fail = OSError("gone")
        response = served.ask("GET", "/-/healthy")
        assert (response.status_code, served.applications.scrapes) == (200, 0)

    def test_ready_looks_once_and_then_believes(self, served: Served) -> None:
        """One scrape proves the directory; frequent probes do not add scrapes."""
        assert [served.ask("GET", "/-/ready").status_code for _ in range(3)] == [200, 200, 200]
        assert served.applications.scrapes == 1

    def test_not_ready_says_why_and_recovers(self, served: Served) -> None:
        """503 with the reason while the directory cannot be read; 200 as soon as it can."""
        served.applications.fail = PermissionError(13, "Permission denied", "/run/metrics")
        response = served.ask("GET", "/-/ready")
        assert response.status_code == 503
        assert "not ready: [Errno 13] Permission denied: '/run/metrics'" in response.text
        served.applications.fail = None
        assert served.ask("GET", "/-/ready").status_code == 200

    def test_a_failed_scrape_makes_it_unready(self, served: Served) -> None:
        """Readiness follows the last scrape, whoever asked for it."""
        assert served.ask("GET", "/-/ready").status_code == 200
        served.applications.fail = OSError("gone")
        served.ask("GET", "/metrics")
        assert served.ask("GET", "/-/ready").status_code == 503


class TestLandingRoute:
    """When the page looks for itself."""

    def test_shows_a_fresh_scrape_while_nobody_scrapes(self, served: Served) -> None:
        """Without Prometheus each visit reads the directory; names are escaped and nothing may be loaded."""
        response = served.ask("GET", "/", host="exporter:9840")
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert response.headers["content-security-policy"].startswith("default-src 'none'")
        assert "&lt;chat&gt;" in response.text
        assert "<chat>" not in response.text
        assert "/run/metrics" in response.text
        served.ask("GET", "/")
        assert served.applications.scrapes == 2

    def test_leaves_the_directory_to_prometheus(self, served: Served) -> None:
        """While scrapes come, a visit makes none, or new series would count as shown; long after, it does."""
        served.ask("GET", "/metrics")
        served.clock.now = 299
        served.ask("GET", "/")
        assert served.applications.scrapes == 1
        served.clock.now = 301
        served.ask("GET", "/")
        assert served.applications.scrapes == 2


class TestRouting:
    """Only GET and HEAD, only on these paths."""

    @pytest.mark.parametrize("path", ["/metrics", "/-/healthy", "/-/ready", "/"])
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
    def test_other_methods_are_refused(self, served: Served, method: str, path: str) -> None:
        """405 with the methods that work."""
        response = served.ask(method, path)
        assert response.status_code == 405
        assert {part.strip() for part in response.headers["allow"].split(",")} == {"GET", "HEAD"}
        assert served.applications.scrapes == 0

    @pytest.mark.parametrize("path", ["/metric", "/metrics/", "/metrics/x", "/-/", "/favicon.ico"])
    def test_other_paths_do_not_exist(self, served: Served, path: str) -> None:
        """404 that names the paths that do."""
        response = served.ask("GET", path)
        assert response.status_code == 404
        assert "/metrics, /-/healthy, /-/ready, /-/reload and /" in response.text

    @pytest.mark.parametrize("path", ["/-/healthy", "/-/ready", "/"])
    def test_head_answers_like_get(self, served: Served, path: str) -> None:
        """Same status and type."""
        got, head = served.ask("GET", path), served.ask("HEAD", path)
        assert (head.status_code, head.headers["content-type"]) == (200, got.headers["content-type"])


class TestSomeMetrics:
    """``name[]``."""

    def test_applications_and_own_metrics_alike(self, served: Served) -> None:
        """The families that are named are served, with their heads, in both formats and compressed."""
        path = "/metrics?name[]=fake_scrapes_total&name[]=genai_exporter_series&name[]=unknown"
        response = served.ask("GET", path)
        assert response.headers["content-type"] == TEXT_TYPE
        assert [family.name for family in parse_text(response.text)] == ["fake_scrapes", "genai_exporter_series"]
        rich = served.ask("GET", path, accept=OPENMETRICS_TYPE, accept_encoding="gzip")
        assert [family.name for family in parse_openmetrics(rich.text)] == ["fake_scrapes", "genai_exporter_series"]

    def test_names_may_be_encoded(self, served: Served) -> None:
        """As HTTP clients write brackets."""
        response = served.ask("GET", "/metrics?name%5B%5D=process_open_fds")
        assert [family.name for family in parse_text(response.text)] == ["process_open_fds"]

    @pytest.mark.parametrize("query", ["name[]=unknown", "name[]="])
    def test_unknown_names_are_an_empty_answer(self, served: Served, query: str) -> None:
        """200, valid, and nothing in it."""
        assert (served.ask("GET", f"/metrics?{query}").status_code, served.ask("GET", f"/metrics?{query}").text) == (
            200,
            "",
        )
        assert served.ask("GET", f"/metrics?{query}", accept=OPENMETRICS_TYPE).text == "# EOF\n"

    def test_applications_are_told_what_is_shown(self, served: Served) -> None:
        """So that they do not count the rest as shown; a visit to the page shows no series at all."""
        served.ask("GET", "/metrics?name[]=a&name[]=b")
        served.ask("GET", "/metrics")
        served.clock.now += 1000
        served.ask("GET", "/")
        assert served.applications.asked == [frozenset("ab"), None, frozenset()]

    def test_filtered_and_whole_bodies_are_not_mixed_up(self, served: Served) -> None:
        """Requests that share a scrape get each their own body, and the applications count as shown all that is."""

        async def ask_together() -> list[str]:
            transport = httpx.ASGITransport(app=served.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://exporter:1") as client:
                paths = ("", "", "?name[]=fake_scrapes", "?name[]=genai_exporter_series", "?name[]=fake_scrapes")
                answers = await asyncio.gather(*(client.get(f"/metrics{path}") for path in paths))
                return [answer.text for answer in answers]

        _, whole, fake, own, fake_too = asyncio.run(ask_together())
        assert served.applications.scrapes == 2
        assert served.applications.asked[1] is None
        assert fake == fake_too == whole[: whole.index("# HELP genai_build_info")]
        assert [family.name for family in parse_text(own)] == ["genai_exporter_series"]


class TestReload:
    """``/-/reload``."""

    @pytest.mark.parametrize("method", ["POST", "PUT"])
    def test_reads_the_configuration_again(self, served: Served, method: str) -> None:
        """200, and the metrics say that it was read."""
        assert served.ask(method, "/-/reload").status_code == 200
        values = {s.name: s.value for family in parse_text(served.ask("GET", "/metrics").text) for s in family.samples}
        assert values["genai_exporter_config_last_reload_successful"] == 1

    def test_a_bad_one_is_told(self) -> None:
        """500 with the reason; the time of the last success stays."""

        def fail() -> Config:
            raise YamlError("exporter.yml:3: nonsense")

        served = Served(load=fail)
        before = time.time()
        response = served.ask("POST", "/-/reload")
        assert (response.status_code, response.text) == (500, "failed to reload config: exporter.yml:3: nonsense\n")
        values = {s.name: s.value for family in parse_text(served.ask("GET", "/metrics").text) for s in family.samples}
        assert values["genai_exporter_config_last_reload_successful"] == 0
        assert 0 < values["genai_exporter_config_last_reload_success_timestamp_seconds"] <= before

    def test_is_forbidden_unless_enabled(self) -> None:
        """403, as Prometheus answers, and nothing is read."""
        loads: list[int] = []

        def load() -> Config:
            loads.append(1)
            return Config()

        response = Served(enable_lifecycle=False, load=load).ask("POST", "/-/reload")
        assert response.status_code == 403
        assert "--web.enable-lifecycle" in response.text
        assert loads == []

    def test_is_no_page(self, served: Served) -> None:
        """A link cannot reload: GET is not allowed."""
        response = served.ask("GET", "/-/reload")
        assert (response.status_code, response.text) == (405, "Only POST and PUT are answered\n")
        assert set(response.headers["allow"].split(", ")) == {"POST", "PUT"}


def test_gzip_is_a_plain_gzip_member(served: Served) -> None:
    """What is sent is read by gzip itself, not only by a lenient client."""

    async def raw() -> bytes:
        transport = httpx.ASGITransport(app=served.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://exporter:1") as client:
            request = client.build_request("GET", "/metrics", headers={"accept-encoding": "gzip"})
            response = await client.send(request, stream=True)
            return b"".join([chunk async for chunk in response.aiter_raw()])

    assert b"fake_scrapes_total" in gzip.decompress(asyncio.run(raw()))
