"""prometheus/rules/otel.yml: fresh, named by the conventions and the catalogue, tested by promtool and for real."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from provider_server import running
from servers import Prometheus, end, free_port, get, prometheus, wait_for

from genai_metrics import catalog
from genai_metrics.catalog.opentelemetry import LABELS, SERIES
from genai_rules import otel
from genai_stack import REPOSITORY, binaries

FILE = REPOSITORY / "prometheus" / "rules" / "otel.yml"
RULES = [rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]]
SPECS = {metric.name: metric for kind in catalog.BLOCK_KINDS for metric in kind.metrics}


def spec(series: str) -> catalog.MetricSpec:
    """The metric of the catalogue that a series belongs to."""
    return SPECS[series] if series in SPECS else SPECS[re.sub("_(bucket|count|sum)$", "", series)]


def test_file_is_fresh() -> None:
    """The committed file is what the code writes."""
    assert otel.text() == FILE.read_text()


def test_rules_do_what_they_promise() -> None:
    """Both generations, missing and old attributes, restarts, services that record with us: promtool's unit tests."""
    done = subprocess.run(
        [binaries.require("promtool"), "test", "rules", Path(__file__).with_name("otel_rules_test.yml")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["record"])
class TestNames:
    """What the rules read is in the conventions, what they write in the catalogue."""

    def test_selected_series_are_of_the_conventions(self, rule: dict[str, str]) -> None:
        """Each alternative of the selector is a series that the conventions define."""
        selected = set(re.findall(r'__name__=~"([^"]+)"', rule["expr"])[0].split("|"))
        assert selected
        assert selected <= SERIES

    def test_labels_are_of_the_conventions(self, rule: dict[str, str]) -> None:
        """So is each label of theirs that is read, whether matched or copied."""
        mentioned = set(re.findall(r"\bgen_ai_\w+", re.sub(r'__name__=~"[^"]+"', "", rule["expr"])))
        assert mentioned - {"gen_ai_client_embeddings_"} <= LABELS

    def test_recorded_series_have_the_labels_of_ours(self, rule: dict[str, str]) -> None:
        """Name and labels are those that genai_metrics exposes, and job and instance are kept."""
        ours = spec(rule["record"])
        kept = re.search(r"max by \(([^)]+)\)", rule["expr"])
        assert kept
        le = {"le"} if rule["record"].endswith("_bucket") else set()
        expected = {"job", "instance", catalog.SERVICE_LABEL, *ours.label_names, *le}
        assert {*kept[1].split(", "), *rule["labels"]} == expected


APPLICATION = """
import sys
import openai
from opentelemetry import metrics
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from prometheus_client import start_http_server
from genai_metrics import configure, workflow
from genai_metrics.integrations.opentelemetry import meter_provider

configure(service_name="shop")
metrics.set_meter_provider(meter_provider())
OpenAIInstrumentor().instrument()
start_http_server(int(sys.argv[1]), addr="127.0.0.1")
client = openai.OpenAI(base_url=sys.argv[2] + "/v1", api_key="k", max_retries=0)
for model in ["gpt-4"] * 3 + ["status-429"] * 2:
    try:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}])
    except openai.APIStatusError:
        pass
client.embeddings.create(model="embed", input="hi")
print("ready", flush=True)
sys.stdin.readline()
"""

PUSHER = """
import sys
import openai
from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from genai_metrics import configure
from genai_metrics.integrations.opentelemetry import meter_provider

configure(service_name="shop")
push = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=sys.argv[1] + "/api/v1/otlp/v1/metrics"))
provider = meter_provider(metric_readers=[push])
metrics.set_meter_provider(provider)
OpenAIInstrumentor().instrument()
client = openai.OpenAI(base_url=sys.argv[2] + "/v1", api_key="k")
for _ in range(int(sys.argv[3])):
    client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "hi"}])
assert provider.force_flush()
print("ready", flush=True)
while sys.stdin.readline():
    assert provider.force_flush()
    print("pushed", flush=True)
"""


@contextmanager
def python(source: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has said that it is ready; ended at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", source, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        end(process)  # type: ignore[arg-type]  # text or bytes is the same to it
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def calls(database: Prometheus) -> dict[tuple[str, ...], float]:
    """Recorded calls by model, operation, outcome, provider and service."""
    return database.query("sum by (service, provider, model, operation, outcome) (genai_llm_calls_total)")


CONFIG = f"rule_files: ['{FILE}']\n"


def test_instrumented_workers_are_seen_under_our_names(tmp_path: Path) -> None:
    """From real OpenAI clients in two workers, through their endpoints and a real Prometheus, to exact sums."""
    ports = free_port(), free_port()
    with (
        running() as provider,
        python(APPLICATION, ports[0], provider.url),
        python(APPLICATION, ports[1], provider.url),
        prometheus(tmp_path / "prometheus", dict(zip("ab", ports, strict=True)), config=CONFIG) as database,
    ):
        wait_for("recorded calls", lambda: sum(calls(database).values()) == 2 * 6)
        assert calls(database) == {
            ("gpt-4", "chat", "success", "openai", "shop"): 2 * 3,
            ("status-429", "chat", "error", "openai", "shop"): 2 * 2,
            ("embed", "embeddings", "success", "openai", "shop"): 2 * 1,
        }
        assert database.query("sum by (job) (genai_llm_calls_total)") == {("a",): 6, ("b",): 6}
        tokens = 2 * (3 * 1000 + 8)
        wait_for("recorded tokens", lambda: database.value("sum(genai_llm_input_tokens_total)") == tokens)
        assert database.value("sum(genai_llm_output_tokens_total)") == 2 * 3 * 50
        assert database.value("sum(genai_llm_errors_total{error_type='RateLimitError'})") == 2 * 2
        seconds = sum(
            float(line.rpartition(" ")[2])
            for port in ports
            for line in get(f"http://127.0.0.1:{port}/metrics").decode().splitlines()
            if line.startswith("gen_ai_client_operation_duration_seconds_sum")
        )
        assert database.value("sum(genai_llm_call_duration_seconds_sum)") == pytest.approx(seconds)
        bounds = database.query("count by (le) (genai_llm_call_duration_seconds_bucket)")
        assert {("0.01",), ("81.92",), ("+Inf",)} < set(bounds)


def has_otlp_receiver() -> bool:
    """Whether the Prometheus that is installed can be pushed to; Debian builds its own without that."""
    program = binaries.require("prometheus")
    told = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=60, check=False)
    return "web.enable-otlp-receiver" in told.stdout + told.stderr


if has_otlp_receiver():

    def test_workers_push_to_prometheus(tmp_path: Path) -> None:
        """Two workers of one service, by OTLP straight into a real Prometheus: neither hides the other's series."""
        config = CONFIG + "otlp: {promote_resource_attributes: [service.name]}\n"
        with (
            running() as provider,
            prometheus(tmp_path / "prometheus", {}, "1s", "--web.enable-otlp-receiver", config=config) as database,
            python(PUSHER, database.url, provider.url, 2) as first,
            python(PUSHER, database.url, provider.url, 5) as second,
        ):

            def pushed_and_recorded() -> bool:
                for worker in (first, second):
                    assert worker.stdin is not None
                    assert worker.stdout is not None
                    print("again", file=worker.stdin, flush=True)
                    assert worker.stdout.readline() == "pushed\n"
                return calls(database) == {("gpt-4", "chat", "success", "openai", "shop"): 7}

            wait_for("recorded calls of both", pushed_and_recorded)
            assert database.query("count by (service_name) (gen_ai_client_token_usage_count)") == {("shop",): 4}
            assert database.value("count(genai_llm_calls_total)") == 2
