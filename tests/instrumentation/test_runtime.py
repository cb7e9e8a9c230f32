"""Tests of the settings of a process, and of when its recorder is made and replaced."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter, generate_latest

import genai_metrics
from genai_metrics import runtime, track_llm_call

if TYPE_CHECKING:
    from conftest import Metrics

CALLS = "genai_llm_calls_total"


def shown(registry: CollectorRegistry) -> float:
    """LLM calls that a registry shows."""
    lines = generate_latest(registry).decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{CALLS}{{"))


class TestConfigure:
    """What the arguments mean."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"label_caps": {"tenants": 5}}, "unknown label 'tenants'; known are mode, .*tenant"),
            ({"label_caps": {"tenant": 0}}, "cap of 'tenant' must be a whole number of at least 1, not 0"),
            ({"label_caps": {"tenant": 1.5}}, "not 1.5"),
            ({"label_caps": {"tenant": "5"}}, "not '5'"),
        ],
    )
    def test_mistakes(self, metrics: "Metrics", arguments: dict[str, Any], message: str) -> None:
        """Unknown labels and impossible caps are told to the programmer; the settings stay."""
        before = runtime.recorder()
        with pytest.raises(ValueError, match=message):
            metrics.configure(**arguments)
        assert runtime.recorder() is before

    def test_other_caps_keep_their_defaults(self, metrics: "Metrics") -> None:
        """A cap for one label leaves those of the others."""
        metrics.configure(label_caps={"tenant": 3})
        caps = runtime.recorder().settings.label_caps
        assert caps["tenant"] == 3
        assert caps["model"] == 200

    def test_environment(self, metrics: "Metrics", monkeypatch: pytest.MonkeyPatch) -> None:
        """Without configure() the environment counts, read at the first record and not before."""
        metrics.restart()
        monkeypatch.setenv("GENAI_METRICS_DIR", str(metrics.directory))
        monkeypatch.setenv("OTEL_SERVICE_NAME", "otel")
        monkeypatch.setenv("GENAI_SERVICE_NAME", "own")
        monkeypatch.setenv("GENAI_PRICE_FILE", str(metrics.price_file))
        assert runtime.existing_recorder() is None
        track_llm_call(model="gpt-4", input_tokens=1000)
        assert runtime.recorder().service == "own"
        assert metrics.stored(CALLS) == 1
        assert metrics.stored("genai_llm_cost_usd_total") == pytest.approx(0.03)

    def test_arguments_go_before_the_environment(self, metrics: "Metrics", monkeypatch: pytest.MonkeyPatch) -> None:
        """What is given counts, what is left out comes from the environment."""
        monkeypatch.setenv("GENAI_METRICS_DIR", str(metrics.directory / "other"))
        monkeypatch.setenv("OTEL_SERVICE_NAME", "otel")
        genai_metrics.configure(metrics_dir=metrics.directory, registry=metrics.registry)
        track_llm_call()
        assert runtime.recorder().service == "otel"
        assert metrics.stored(CALLS) == 1

    def test_bad_price_file(self, metrics: "Metrics", caplog: pytest.LogCaptureFixture) -> None:
        """A price file that cannot be used is told once, counted, and stops nothing."""
        metrics.price_file.write_text("prices: [{model: gpt-4, input_per_1m_usd: cheap}]")
        metrics.configure()
        for _ in range(3):
            track_llm_call(model="gpt-4", input_tokens=1000)
        assert metrics.value(CALLS) == 3
        assert metrics.faults() == {"price_file": 1}
        (message,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert str(metrics.price_file) in message

    def test_nothing_is_lost(self, metrics: "Metrics") -> None:
        """What was recorded before the settings changed is carried over, from memory into the file."""
        for _ in range(3):
            track_llm_call(model="gpt-4", input_tokens=10, tenant="t")
        metrics.configure(service_name="later")
        track_llm_call(model="gpt-4", input_tokens=10, tenant="t")
        assert metrics.value(CALLS) == 4
        metrics.configure(files=True)
        track_llm_call(model="gpt-4", input_tokens=10, tenant="t")
        assert metrics.stored(CALLS) == 5
        assert metrics.stored("genai_tenant_tokens_total") == 50
        metrics.configure(files=True, service_name="third")
        track_llm_call(model="gpt-4", input_tokens=10, tenant="t")
        assert metrics.stored(CALLS) == 6
        assert len(metrics.files()) == 2

    def test_new_prices_count(self, metrics: "Metrics") -> None:
        """Prices found under the old settings are not used under the new ones."""
        track_llm_call(model="gpt-4", input_tokens=1000)
        metrics.price_file.write_text("prices: [{model: gpt-4, input_per_1m_usd: 1000, output_per_1m_usd: 0}]")
        metrics.configure()
        track_llm_call(model="gpt-4", input_tokens=1000)
        assert metrics.value("genai_llm_cost_usd_total") == pytest.approx(0.03 + 1.0)


class TestRegistries:
    """Where an application without a metrics directory finds its metrics."""

    def test_default_registry(self, metrics: "Metrics") -> None:
        """Without configure() they are in prometheus_client's default registry, from the first record on."""
        metrics.restart()
        assert CALLS not in generate_latest(REGISTRY).decode()
        track_llm_call()
        assert shown(REGISTRY) == 1

    def test_own_registry(self, metrics: "Metrics") -> None:
        """With a registry of one's own they are there and nowhere else, however often it is configured."""
        for _ in range(3):
            metrics.configure()
        track_llm_call()
        assert shown(metrics.registry) == 1
        assert shown(REGISTRY) == 0

    def test_metrics_directory(self, metrics: "Metrics") -> None:
        """With a metrics directory nothing is shown: one worker's share would pass for the whole."""
        track_llm_call()
        metrics.configure(files=True)
        track_llm_call()
        assert b"genai_" not in generate_latest(metrics.registry)

    def test_name_is_taken(self, metrics: "Metrics", caplog: pytest.LogCaptureFixture) -> None:
        """An application that has a metric of that name keeps it; recording goes on, and the log says why."""
        registry = CollectorRegistry()
        Counter("genai_llm_calls", "Of the application.", registry=registry).inc(5)
        metrics.configure(registry=registry)
        track_llm_call()
        assert b"genai_llm_calls_total 5.0" in generate_latest(registry)
        assert metrics.value(CALLS) == 1
        assert "Duplicated timeseries" in caplog.text


def test_warm_up_loads_prices(run_python: Callable[..., str]) -> None:
    """After warm_up() the first priced call imports nothing more."""
    out = run_python(
        """
        import sys
        import genai_metrics

        before = "genai_prices" in sys.modules
        genai_metrics.warm_up()
        loaded = set(sys.modules)
        genai_metrics.track_llm_call(model="gpt-4o", provider="openai", input_tokens=10)
        print(before, "genai_prices" in loaded, *sorted(name for name in set(sys.modules) - loaded))
        """
    )
    assert out.split() == ["False", "True"]
