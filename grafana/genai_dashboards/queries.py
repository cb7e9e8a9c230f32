"""PromQL from the catalogue's metrics and the recorded series; no other module here spells a query."""

from genai_metrics import catalog
from genai_metrics.catalog import MetricSpec

CALLS, CALL_DURATION, INPUT_TOKENS, OUTPUT_TOKENS = catalog.LLM_CALL.metrics[:4]
FIRST_TOKEN = catalog.LLM_STREAM.metrics[0]
COST = catalog.LLM_COST.metrics[0]

ERRORS_PER_CALL = "service_mode:genai_llm_call_errors_per_call:ratio_rate5m"
"""Recorded in prometheus/rules/recording.yml."""

SELECTED = 'service=~"$service", mode=~"$mode"'
"""Matchers of the dashboard's variables; every selector of an application metric carries them."""

_RATE = "$__rate_interval"
_RANGE = "$__range"


def selector(metric: MetricSpec, suffix: str = "", *matchers: str) -> str:
    """Series of the metric within the dashboard's selection, narrowed by ``matchers``."""
    return f"{metric.name}{suffix}{{{', '.join([SELECTED, *matchers])}}}"


def rate(metric: MetricSpec, *by: str) -> str:
    """Increase per second of a counter, summed by labels."""
    return f"sum by ({', '.join(by)}) (rate({selector(metric)}[{_RATE}]))"


def rate_per_hour(metric: MetricSpec, *by: str) -> str:
    """Increase per hour of a counter, summed by labels."""
    return f"{rate(metric, *by)} * 3600"


def total(metric: MetricSpec) -> str:
    """Increase of a counter over the dashboard's time range."""
    return f"sum (increase({selector(metric)}[{_RANGE}]))"


def share(metric: MetricSpec, matcher: str) -> str:
    """Share of a counter's increase over the time range that matches; 0 when nothing matches."""
    part = f"sum (increase({selector(metric, '', matcher)}[{_RANGE}]))"
    return f"({part} or vector(0)) / ({total(metric)} > 0)"


def quantile(level: float, metric: MetricSpec, *by: str) -> str:
    """Quantile of a histogram by labels; its buckets limit its resolution."""
    labels = ", ".join([*by, "le"])
    return f"histogram_quantile({level}, sum by ({labels}) (rate({selector(metric, '_bucket')}[{_RATE}])))"


def quantile_of_range(level: float, metric: MetricSpec) -> str:
    """Quantile of a histogram over the whole time range."""
    return f"histogram_quantile({level}, sum by (le) (increase({selector(metric, '_bucket')}[{_RANGE}])))"


def error_ratio() -> str:
    """Recorded share of failed calls by service and mode."""
    return f"{ERRORS_PER_CALL}{{{SELECTED}}}"


def label_values(metric: MetricSpec, label: str, matcher: str = "") -> str:
    """Query of a dashboard variable: the values of a label of the metric."""
    return f"label_values({metric.name}{{{matcher}}}, {label})" if matcher else f"label_values({metric.name}, {label})"
