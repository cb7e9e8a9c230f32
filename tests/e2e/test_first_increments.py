"""What a real Prometheus makes of series that are new: their first increments count."""

import subprocess
import sys
from pathlib import Path

import pytest
from servers import exporter, prometheus, wait_for

from genai_metrics.catalog import OVERFLOW

BORN_AT_ZERO_SECONDS = 4

SPEND = """
import sys
from genai_metrics import configure, track_llm_call
configure(metrics_dir=sys.argv[1], service_name="chat")
track_llm_call(model="some-model", tenant="first", cost_usd=1.0)
print("ready", flush=True)
sys.stdin.readline()
track_llm_call(model="some-model", tenant="newcomer", cost_usd=50.0)
print("spent", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize(("born_at_zero", "increase"), [(BORN_AT_ZERO_SECONDS, 50.0), (0, 0.0)])
def test_new_tenants_first_call_is_an_increase(tmp_path: Path, born_at_zero: int, increase: float) -> None:
    """A new tenant's first $50 shows in ``increase()``; without being born at zero it would not, which is the proof."""
    metrics_dir = tmp_path / "metrics"
    with (
        exporter(metrics_dir, "--born-at-zero-seconds", str(born_at_zero)) as server,
        prometheus(tmp_path / "prometheus", {"genai-exporter": server.port}) as database,
        subprocess.Popen(
            [sys.executable, "-c", SPEND, str(metrics_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as application,
    ):
        assert application.stdin is not None
        assert application.stdout is not None
        assert application.stdout.readline() == "ready\n"
        wait_for("first tenant", lambda: database.value('genai_tenant_cost_usd_total{tenant="first"} > 0'))
        print("go", file=application.stdin, flush=True)
        assert application.stdout.readline() == "spent\n"
        shown = 'genai_tenant_cost_usd_total{tenant="newcomer"} == 50'
        wait_for("newcomer's cost", lambda: database.value(shown))
        # increase() needs the value to stand in the range for a while, or extrapolation dominates.
        count = 'count_over_time(genai_tenant_cost_usd_total{tenant="newcomer"}[5m])'
        wait_for("12 samples", lambda: (database.value(count) or 0) >= 12)
        got = database.value('increase(genai_tenant_cost_usd_total{tenant="newcomer"}[5m])')
        print("done", file=application.stdin, flush=True)
    # Within Prometheus's extrapolation: by at most half a scrape interval at each end, of 11 s.
    assert got == pytest.approx(increase, rel=0.1)


MANY_TENANTS = """
import sys
from genai_metrics import configure, track_llm_call
configure(metrics_dir=sys.argv[1], service_name="chat", label_caps={"tenant": 100})
start = int(sys.argv[2])
for i in range(start, start + 2500):
    track_llm_call(mode=str(i % 4), model="gpt-4o", provider="openai", tenant=f"tenant-{i}",
                   input_tokens=1000 + i, output_tokens=10 + i % 7)
"""


def test_sum_over_tenants_is_sum_over_models(tmp_path: Path) -> None:
    """5 000 tenants in two processes with a cap of 100: at most 101 values of the label, and every sum is the same."""
    metrics_dir = tmp_path / "metrics"
    settings = tmp_path / "exporter.yml"
    settings.write_text("label_caps: {tenant: 100}\n")
    for start in (0, 2500):
        subprocess.run([sys.executable, "-c", MANY_TENANTS, str(metrics_dir), str(start)], check=True, timeout=60)
    with (
        exporter(metrics_dir, "--config.file", str(settings), "--born-at-zero-seconds", "0") as server,
        prometheus(tmp_path / "prometheus", {"genai-exporter": server.port}) as database,
    ):
        calls = "sum(genai_llm_calls_total)"
        wait_for("all calls", lambda: database.value(calls) == 5000.0)
        assert database.value("sum(genai_tenant_requests_total)") == 5000.0
        tokens = database.value("sum(genai_llm_input_tokens_total)")
        assert tokens == sum(1000 + i for i in range(5000))
        assert database.value('sum(genai_tenant_tokens_total{direction="input"})') == tokens
        cost = database.value("sum(genai_llm_cost_usd_total)")
        assert cost is not None
        assert cost > 0
        assert database.value("sum(genai_tenant_cost_usd_total)") == pytest.approx(cost, rel=1e-9)
        tenants = database.query("count by (tenant) (genai_tenant_cost_usd_total)")
        assert len(tenants) == 101
        assert (OVERFLOW,) in tenants
        # Each process cuts off 2 400 tenants itself, and counts every call that it puts to the others.
        overflow = database.query('genai_label_overflow_total{label="tenant"}')
        assert sum(overflow.values()) >= 4800
