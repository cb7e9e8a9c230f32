"""Exemplars in a real Prometheus: from the application's OpenTelemetry span to the query that Grafana asks."""

import json
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path
from typing import Any

from servers import Prometheus, exporter, free_port, get, prometheus, wait_for

CALLS, RUNS = "genai_llm_call_duration_seconds_bucket", "genai_workflow_duration_seconds_bucket"
STORAGE = "--enable-feature=exemplar-storage"

# Records what a service does in a request, each time it is told to, and says which span it was in. Without a directory
# it serves itself.
SERVICE = """
import sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
import genai_metrics

if sys.argv[1] == "files":
    genai_metrics.configure(metrics_dir=sys.argv[2], service_name="chat")
else:
    import threading
    from wsgiref.simple_server import WSGIRequestHandler, make_server
    WSGIRequestHandler.log_message = lambda *_: None
    genai_metrics.configure(service_name="chat")
    app = genai_metrics.wsgi_app(born_at_zero_seconds=0)
    server = make_server("127.0.0.1", int(sys.argv[2]), app)
    threading.Thread(target=server.serve_forever, daemon=True).start()

sampled = TracerProvider(shutdown_on_exit=False).get_tracer("service")
dropped = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("service")
for line in sys.stdin:
    with dropped.start_as_current_span("request"):
        genai_metrics.track_llm_call(model="gpt-4", duration=30.0)
    with sampled.start_as_current_span("request") as request, genai_metrics.workflow(mode="rag"):
        with sampled.start_as_current_span("chat") as chat:
            genai_metrics.track_llm_call(model="gpt-4", duration=float(line))
    for span in (request, chat):
        context = span.get_span_context()
        print(f"{context.trace_id:032x} {context.span_id:016x}", flush=True)
"""

Ids = tuple[str, str]
"""Of a trace and a span in it, in hexadecimal."""
Exemplars = dict[Ids, dict[str, Any]]


def exemplars(database: Prometheus, metric: str) -> Exemplars:
    """What ``/api/v1/query_exemplars`` answers: exemplars by trace and span, with the series they are of."""
    now = time.time()
    question = urllib.parse.urlencode({"query": metric, "start": now - 600, "end": now + 600})
    answer = json.loads(get(f"{database.url}/api/v1/query_exemplars?{question}"))
    assert answer["status"] == "success"
    return {
        (exemplar["labels"]["trace_id"], exemplar["labels"]["span_id"]): {**exemplar, "series": series["seriesLabels"]}
        for series in answer["data"]
        for exemplar in series["exemplars"]
    }


def tell(service: "subprocess.Popen[str]", seconds: float) -> tuple[Ids, Ids]:
    """Have the service answer a request with a call of so many seconds; ids of the request's and of the call's span."""
    assert service.stdin is not None
    assert service.stdout is not None
    print(seconds, file=service.stdin, flush=True)
    (trace, request), (same_trace, call) = (service.stdout.readline().split() for _ in range(2))
    assert trace == same_trace
    return (trace, request), (trace, call)


def start(*arguments: str) -> "subprocess.Popen[str]":
    """Start the service."""
    return subprocess.Popen(
        [sys.executable, "-c", SERVICE, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def arrived(database: Prometheus, request: Ids, call: Ids) -> None:
    """Wait for both exemplars of a call of 3 s; each is of its own span, at its own series and bucket."""
    of_calls = wait_for("the call's exemplar", lambda: _with(database, CALLS, call))
    assert of_calls[call]["series"]["model"] == "gpt-4"
    assert (of_calls[call]["series"]["le"], float(of_calls[call]["value"])) == ("5.0", 3.0)
    assert abs(of_calls[call]["timestamp"] - time.time()) < 120
    of_runs = wait_for("the run's exemplar", lambda: _with(database, RUNS, request))
    assert of_runs[request]["series"]["mode"] == "rag"
    assert 0 < float(of_runs[request]["value"]) <= float(of_runs[request]["series"]["le"])


def _with(database: Prometheus, metric: str, ids: Ids) -> Exemplars | None:
    found = exemplars(database, metric)
    return found if ids in found else None


def test_through_the_exporter(tmp_path: Path) -> None:
    """An application with real spans, an exporter, a Prometheus with exemplar storage: the span's very ids."""
    metrics_dir = tmp_path / "metrics"
    with (
        exporter(metrics_dir, "--born-at-zero-seconds", "0") as server,
        prometheus(tmp_path / "prometheus", {"genai-exporter": server.port}, "1s", STORAGE) as database,
        start("files", str(metrics_dir)) as service,
    ):
        request, call = tell(service, 3.0)
        arrived(database, request, call)
        # As Grafana asks: with the whole expression of a panel.
        assert call in exemplars(database, f"histogram_quantile(0.95, sum by (model, le) (rate({CALLS}[1m])))")
        # Each bucket has its own, and those of traces that were not sampled are nowhere.
        calls = {call}
        for seconds in (0.3, 1000.0):
            _, other = tell(service, seconds)
            calls.add(other)
            wait_for("the other exemplar", lambda other=other: _with(database, CALLS, other))
        assert set(exemplars(database, CALLS)) == calls
        assert (database.value(f'{CALLS}{{mode="default",le="40.0"}}') or 0) > 0
        log = (tmp_path / "prometheus" / "prometheus.log").read_text().splitlines()
    # Not one that came too late, twice, or too long.
    assert [line for line in log if "xemplar" in line and "level=INFO" not in line] == []


def test_from_the_application(tmp_path: Path) -> None:
    """The application's own endpoint gives the same to a Prometheus that scrapes it."""
    port = free_port()
    with (
        start("self", str(port)) as service,
        prometheus(tmp_path / "prometheus", {"chat": port}, "1s", STORAGE) as database,
    ):
        request, call = tell(service, 3.0)
        arrived(database, request, call)
