"""PromQL from the catalogue's metrics and the recorded series; queries of one dashboard are in ``<topic>_queries``.

A *series* is a metric of the catalogue or the name of a recorded series, whose level (the part before the first colon)
says which labels it has. Every selector carries the matchers of the variables for the labels that its series has.

Rates and totals of whatever is counted read, over long time ranges, *sparse* copies instead: of the same name but
for its first part, 20 minutes apart (prometheus/rules/recording_sparse.yml). Hidden variables choose.
"""

from collections.abc import Mapping, Sequence

from genai_metrics import catalog
from genai_metrics.catalog import SERVICE_LABEL, MetricSpec
from genai_metrics.catalog.sparse import FINE_PREFIX, SPARSE_PREFIX, SPARSE_SECONDS, sparse

Series = MetricSpec | str

SERVICE = 'service=~"$service"'
MODE = 'mode=~"$mode"'
PREFIX = {"fine": FINE_PREFIX, "sparse": SPARSE_PREFIX}
"""First part of the name of a metric, and of its sparse copy."""
MORE = {"fine": "0ms", "sparse": f"{3 * SPARSE_SECONDS * 1000}ms"}
"""By how much the window of a rate is longer than for scrapes, so that it always has three samples of sparse copies."""
STEP = "$__rate_interval"
"""Window of what is counted step by step: at least four scrapes, at least one step."""
# Durations may be written one behind the other. `Min step` of a query is no way to a longer window: since Grafana 12.4
# it is the step, whatever the time range.
RATE = f"{STEP}${{more}}"
"""Window of rates: likewise, and over long ranges wide enough for sparse copies."""
RANGE = "$__range"
"""The dashboard's whole time range: window of totals."""

SUBJECTS = "service_mode:genai_threshold_subjects:zero"
"""A series for each service and mode that has recorded anything."""

CALLS, CALL_DURATION, INPUT_TOKENS, OUTPUT_TOKENS = catalog.LLM_CALL.metrics[:4]
FIRST_TOKEN, PER_OUTPUT_TOKEN = catalog.LLM_STREAM.metrics
COST, COST_SAVED = catalog.LLM_COST.metrics

_NAME = "${genai}"
_LONG_SECONDS = 3 * 86_400
_OF_APPLICATIONS = {metric for kind in catalog.BLOCK_KINDS for metric in kind.metrics}


def recorded(level: str, metric: MetricSpec, suffix: str = "") -> str:
    """Name of the metric's sum over the labels that ``level`` lacks; see prometheus/rules/recording_sums.yml.

    For ``rate`` and ``total`` only: over long ranges it is the sparse copy.
    """
    return f"{level}:{_either(metric.name)}{suffix}:sum"


def by_range(names: Mapping[str, str], label: str) -> str:
    """Query whose one result says in ``label`` which of both names holds for the dashboard's time range.

    The sparse one does from three days on; but not as long as there are no sparse copies that old, so that what they
    lack of the last half hour is little, or none of the beginning of the time range though it is known.
    """
    copies = f"last_over_time({sparse(SUBJECTS)}[1h]"
    reach_back = f"({copies} offset $__range) or on () absent({SUBJECTS} offset $__range))"
    is_long = (
        f"vector($__range_s) >= {_LONG_SECONDS} and on () {copies} offset {_LONG_SECONDS}s) and on () {reach_back}"
    )
    copied, scraped = (
        f'label_replace({when}, "{label}", "{names[kind]}", "", "")'
        for kind, when in (("sparse", is_long), ("fine", "vector(1)"))
    )
    return f"query_result({copied} or on () {scraped})"


def _either(name: str) -> str:
    """The name of a metric or of its sparse copy, as a variable says."""
    return name.replace(FINE_PREFIX, _NAME, 1)


def labels(series: Series) -> set[str]:
    """Labels of a series that variables may select by."""
    if isinstance(series, str):
        return set(series.partition(":")[0].split("_"))
    return {*series.label_names} | ({SERVICE_LABEL} if series in _OF_APPLICATIONS else set())


def selector(series: Series, *matchers: str, suffix: str = "") -> str:
    """Series within the dashboard's selection, narrowed by ``matchers``."""
    name = series if isinstance(series, str) else series.name
    there = labels(series)
    # `mode` of the host's CPU is another one.
    about_mode = "mode" in there and SERVICE_LABEL in there
    selected = [*([SERVICE] if SERVICE_LABEL in there else []), *([MODE] if about_mode else []), *matchers]
    return f"{name}{suffix}{{{', '.join(selected)}}}" if selected else f"{name}{suffix}"


def aggregated(operation: str, by: Sequence[str], expression: str) -> str:
    """Aggregation by labels; by none of them into one value."""
    return f"{operation} by ({', '.join(by)}) ({expression})" if by else f"{operation}({expression})"


def counted(series: Series, *where: str, suffix: str = "", window: str) -> str:
    """Samples of a counter in a window: over long ranges, and unless counted step by step, those of its sparse copy."""
    selected = selector(series, *where, suffix=suffix)
    # The name of a recorded sum is that of either already.
    either = selected if isinstance(series, str) or window == STEP else _either(selected)
    return f"{either}[{window}]"


def rate(series: Series, *by: str, where: Sequence[str] = (), suffix: str = "", window: str = RATE) -> str:
    """Increase per second of a counter, summed by labels."""
    return aggregated("sum", by, f"rate({counted(series, *where, suffix=suffix, window=window)})")


def total(series: Series, *by: str, where: Sequence[str] = (), suffix: str = "", window: str = RANGE) -> str:
    """Increase of a counter over the dashboard's time range, summed by labels."""
    return aggregated("sum", by, f"increase({counted(series, *where, suffix=suffix, window=window)})")


def latest(series: Series, *by: str, where: Sequence[str] = (), operation: str = "sum") -> str:
    """Current value of a gauge, or of a recorded rate or ratio, aggregated by labels."""
    return aggregated(operation, by, selector(series, *where))


def ratio(part: str, whole: str) -> str:
    """Part by whole, label by label: 0 where there is no part, absent where the whole is 0 or absent."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def mean(metric: MetricSpec, *by: str, where: Sequence[str] = (), window: str = RATE) -> str:
    """Mean of what a histogram has observed, by labels; absent where it observed nothing."""
    return quotient(
        rate(metric, *by, where=where, suffix="_sum", window=window),
        rate(metric, *by, where=where, suffix="_count", window=window),
    )


def quotient(part: str, whole: str) -> str:
    """Part by whole, label by label; absent where either is absent or the whole is 0."""
    return f"{part} / ({whole} > 0)"


def quantile(level: float, series: Series, *by: str, where: Sequence[str] = (), window: str = RATE) -> str:
    """Quantile of a histogram by labels, interpolated within a bucket; absent where it observed nothing.

    ``series`` is a metric, or the recorded sum of its buckets.
    """
    suffix = "" if isinstance(series, str) else "_bucket"
    observed = rate(series, *by, "le", where=where, suffix=suffix, window=window)
    # Of nothing the quantile is NaN, which compares with no number.
    return f"(histogram_quantile({level}, {observed}) >= 0)"


def buckets(metric: MetricSpec, *where: str, suffix: str = "_bucket") -> str:
    """Observations per second in each bucket: the cells of a heatmap."""
    return rate(metric, "le", where=where, suffix=suffix)


def largest(number: int, expression: str) -> str:
    """The series with the largest values."""
    return f"topk({number}, {expression})"


def otherwise(first: str, second: str, *on: str) -> str:
    """The first; where it has nothing for the labels ``on`` (nothing at all, if none are named), the second."""
    return f"({first}) or on ({', '.join(on)}) ({second})"


def among(expression: str, others: str, *on: str) -> str:
    """Series for whose labels ``others`` has one: the rows of a table that another column chooses."""
    return f"({expression}) and on ({', '.join(on)}) ({others})"


def named(label: str, expressions: Mapping[str, str]) -> str:
    """Values without labels in one result, each called by its name in ``label``."""
    return " or ".join(
        f'label_replace({expression}, "{label}", "{name}", "", "")' for name, expression in expressions.items()
    )


def firing_alerts(categories: str = ".+") -> str:
    """Alerts of these categories that fire: on the selected services, and on no service in particular."""
    selected = f'alertstate="firing", alertname!="Watchdog", category=~"{categories}", service=~"$service|"'
    return f"ALERTS{{{selected}}}"


def label_values(series: Series, label: str, *matchers: str) -> str:
    """Query of a dashboard variable: the values of a label."""
    name = series if isinstance(series, str) else series.name
    return f"label_values({name}{{{', '.join(matchers)}}}, {label})" if matchers else f"label_values({name}, {label})"
