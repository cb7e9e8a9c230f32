"""What the panels of performance and health show of known series: rates, percentiles, states, what is down."""

from pathlib import Path

from figures import ALL, TARGET, Values, call, counter, gauge, judge


def workflows(outcome: str, per_minute: int, seconds: float, bounds: dict[str, int]) -> list[tuple[str, str]]:
    """Workflows of mode 1 that all take ``seconds``; ``bounds`` says how many a minute are in each bucket or below."""
    labels = {"mode": "1", "outcome": outcome, "cache": "miss"}
    return [
        *(counter("genai_workflow_duration_seconds_bucket", n, **labels, le=le) for le, n in bounds.items()),
        counter("genai_workflow_duration_seconds_sum", per_minute * seconds, **labels),
        counter("genai_workflow_duration_seconds_count", per_minute, **labels),
    ]


SERVICES = dict(
    (
        # A minute: eight workflows of two seconds, two that fail after ten; in a service without workflows, five calls.
        *workflows("success", 8, 2, {"1.0": 0, "2.5": 8, "5.0": 8, "10.0": 8, "+Inf": 8}),
        *workflows("error", 2, 10, {"1.0": 0, "2.5": 0, "5.0": 0, "10.0": 2, "+Inf": 2}),
        call("genai_llm_calls_total", 5, service="search", mode="2", outcome="success"),
        # Calls within workflows are no requests of their own.
        call("genai_llm_calls_total", 30, outcome="success"),
        counter("genai_cache_lookups_total", 1, cache="answers", mode="1", result="hit"),
        counter("genai_cache_lookups_total", 9, cache="answers", mode="1", result="miss"),
        counter("genai_quality_score_sum", 0.9, mode="1", evaluator="judge"),
        counter("genai_quality_score_count", 1, mode="1", evaluator="judge"),
        counter("genai_degradations_total", 1, mode="1", reason="shortened"),
        counter("genai_operation_duration_seconds_sum", 3, operation="rerank", outcome="success"),
        counter("genai_operation_duration_seconds_sum", 1, operation="embed", outcome="success"),
        counter("genai_operation_duration_seconds_count", 2, operation="rerank", outcome="success"),
        counter("genai_operation_duration_seconds_count", 1, operation="embed", outcome="success"),
        gauge(f'genai_workflow_in_flight{{{TARGET},service="shop",mode="1"}}', 3),
        gauge(f'genai_llm_calls_in_flight{{{TARGET},service="shop",mode="1",model="m"}}', 7),
        gauge(f'genai_llm_calls_in_flight{{{TARGET},service="search",mode="2",model="m"}}', 1),
    )
)
PERFORMANCE: dict[tuple[str, str, str], Values] = {
    ("performance", "Request rate", "A"): {ALL: 15 / 60},
    ("performance", "Error rate", "A"): {'{state="critical"}': 2 / 15},
    ("performance", "Success rate", "A"): {'{state="critical"}': 13 / 15},
    # Of workflows alone: where there are some, calls are but parts of them.
    ("performance", "Average response time", "A"): {'{state="warning"}': 3.6},
    # Three quarters of the way through the bucket from 5 to 10 s; above the target, below the warning threshold.
    ("performance", "p95 response time", "A"): {'{state="ok"}': 8.75},
    ("performance", "Active workflows", "A"): {ALL: 4},
    ("performance", "Cache hit rate", "A"): {'{state="critical"}': 0.1},
    ("performance", "Error rate by service and mode", "A"): {
        '{service="shop",mode="1"}': 0.2,
        '{service="search",mode="2"}': 0,
    },
    ("performance", "Key times against their targets", "C"): {
        '{kpi="average response time"}': 3,
        '{kpi="p95 response time"}': 1,
        '{kpi="p99 response time"}': 0,
    },
    ("performance", "Key shares against their targets", "A"): {
        '{kpi="error rate"}': 2 / 15,
        '{kpi="cache hit rate"}': 0.1,
        '{kpi="quality score"}': 0.9,
        '{kpi="degraded answers"}': 0.1,
    },
    ("performance", "Key shares against their targets", "B"): {
        '{kpi="error rate"}': 0.01,
        '{kpi="cache hit rate"}': 0.7,
        '{kpi="quality score"}': 0.85,
    },
    ("performance", "Key shares against their targets", "C"): {
        '{kpi="error rate"}': 7,
        '{kpi="cache hit rate"}': 7,
        '{kpi="quality score"}': 0,
        '{kpi="degraded answers"}': 0,
    },
    ("performance", "Requests by mode", "A"): {'{mode="1"}': 600, '{mode="2"}': 300},
    ("performance", "Share of time by stage", "A"): {'{operation="rerank"}': 0.75, '{operation="embed"}': 0.25},
    ("performance", "Slowest stages", "B"): {'{operation="rerank"}': 1.5, '{operation="embed"}': 1},
    ("performance", "Slowest stages", "E"): {'{operation="rerank"}': 0, '{operation="embed"}': 0},
    ("performance", "Degraded answers by reason", "A"): {'{reason="shortened"}': 0.1},
    ("performance", "Response time", "U"): {'{severity="critical"}': 30},
}

_GPU = f'{TARGET},uuid="u",index="0",name="n"'
MACHINES = dict(
    (
        gauge('up{job="genai-exporter",instance="a"}', 1),
        gauge('up{job="alertmanager",instance="b"}', 0),
        gauge('ALERTS{alertname="Down",alertstate="firing",severity="critical",category="system"}', 1),
        gauge(
            'ALERTS{alertname="Slow",alertstate="firing",severity="warning",category="performance",service="shop"}', 1
        ),
        gauge('ALERTS{alertname="Slow",alertstate="pending",severity="critical",category="cost",service="shop"}', 1),
        gauge('ALERTS{alertname="Watchdog",alertstate="firing",severity="none",category="meta"}', 1),
        gauge('ALERTS_FOR_STATE{alertname="Down",severity="critical",category="system"}', 25),
        gauge('ALERTS_FOR_STATE{alertname="Slow",severity="warning",category="performance",service="shop"}', 50),
        gauge('ALERTS_FOR_STATE{alertname="Slow",severity="critical",category="cost",service="shop"}', 75),
        gauge(f'genai_dependency_up{{{TARGET},service="shop",dependency="qdrant"}}', 0),
        gauge(f'genai_dependency_up{{{TARGET},service="shop",dependency="redis"}}', 1),
        gauge('probe_success{job="blackbox",instance="redis:6379"}', 1),
        counter("genai_tool_duration_seconds_count", 8, tool="search", outcome="success"),
        counter("genai_tool_duration_seconds_count", 2, tool="search", outcome="error"),
        counter("genai_retrieval_duration_seconds_count", 1, source="docs", outcome="success"),
        counter("genai_llm_errors_total", 1, mode="1", provider="p", model="m", error_type="429"),
        gauge(f'genai_process_start_time_seconds{{{TARGET},service="shop"}}', 3600),
        gauge(f'genai_pool_connections{{{TARGET},service="shop",pool="db",state="active"}}', 3),
        gauge(f'genai_pool_connections{{{TARGET},service="shop",pool="db",state="idle"}}', 1),
        gauge(f'genai_pool_size{{{TARGET},service="shop",pool="db"}}', 4),
        gauge(f'genai_pool_in_use_ratio{{{TARGET},service="shop",pool="db"}}', 0.75),
        gauge(f"genai_host_memory_used_bytes{{{TARGET}}}", 8),
        gauge(f"genai_host_memory_total_bytes{{{TARGET}}}", 10),
        (f"genai_host_cpu_usage_seconds_total{{{TARGET}}}", "0+30x420"),
        gauge(f"genai_host_cpu_limit_cores{{{TARGET}}}", 2),
        (f'genai_host_cpu_seconds_total{{{TARGET},mode="user"}}', "0+30x420"),
        (f'genai_host_cpu_seconds_total{{{TARGET},mode="idle"}}', "0+90x420"),
        gauge(f"genai_host_open_descriptors{{{TARGET}}}", 1),
        gauge(f"genai_host_max_descriptors{{{TARGET}}}", 4),
        gauge(f"genai_gpu_memory_used_bytes{{{_GPU}}}", 80),
        gauge(f"genai_gpu_memory_reserved_bytes{{{_GPU}}}", 5),
        gauge(f"genai_gpu_memory_total_bytes{{{_GPU}}}", 100),
        (f'genai_gpu_throttled_seconds_total{{{_GPU},reason="power"}}', "0+15x420"),
        gauge(f'genai_exporter_collector_success{{{TARGET},collector="gpu"}}', 0),
    )
)
HEALTH: dict[tuple[str, str, str], Values] = {
    ("health", "Firing alerts", "A"): {ALL: 2},
    ("health", "Alerts that fire now", "A"): {
        '{alertname="Down",severity="critical",category="system"}': 25_000,
        '{alertname="Slow",severity="warning",category="performance",service="shop"}': 50_000,
    },
    ("health", "Targets down", "A"): {ALL: 1},
    ("health", "Dependencies down", "A"): {ALL: 1},
    ("health", "Dependencies", "B"): {'{instance="redis:6379"}': 1},
    ("health", "Tool success", "A"): {'{state="warning"}': 0.8},
    ("health", "Retrieval success", "A"): {'{state="ok"}': 1},
    ("health", "Tool success rate", "A"): {'{service="shop",tool="search"}': 0.8},
    ("health", "Tool success rate", "T"): {'{severity="warning"}': 0.9},
    ("health", "Uptime", "A"): {ALL: 21_600},
    ("health", "Errors by type", "A"): {'{error_type="429"}': 60},
    ("health", "Connections by pool and state", "A"): {
        '{pool="db",state="active"}': 3,
        '{pool="db",state="idle"}': 1,
    },
    ("health", "CPU in use", "A"): {'{instance="a"}': 0.25},
    ("health", "Memory in use", "A"): {'{instance="a"}': 0.8},
    ("health", "CPU by mode", "A"): {'{instance="a",mode="user"}': 0.25},
    ("health", "Open descriptors", "A"): {'{instance="a"}': 0.25},
    ("health", "GPU memory in use", "A"): {'{instance="a",index="0"}': 0.85},
    ("health", "GPU throttling by reason", "A"): {'{instance="a",index="0",reason="power"}': 0.25},
    ("health", "Failing collectors", "A"): {'{instance="a",collector="gpu"}': 1},
}


def test_performance_shows_the_right_numbers(tmp_path: Path) -> None:
    """The query of each panel named gives exactly the values and labels above."""
    judge(SERVICES, PERFORMANCE, tmp_path)


def test_health_shows_the_right_numbers(tmp_path: Path) -> None:
    """The query of each panel named gives exactly the values and labels above."""
    judge(MACHINES, HEALTH, tmp_path)
