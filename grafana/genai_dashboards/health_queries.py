"""PromQL of the dashboard "Health": what workflows stand on.

Metrics of hosts, GPUs and the exporter are not about a service, so the variables do not select among them.
"""

from genai_dashboards.queries import (
    aggregated,
    among,
    firing_alerts,
    latest,
    quotient,
    rate,
    ratio,
    selector,
    total,
)
from genai_metrics import catalog
from genai_metrics.catalog import MetricSpec, gpu, host

(
    BUILD,
    COLLECTOR_SECONDS,
    COLLECTOR_SUCCESS,
    SERIES,
    FILES,
    PROCESSES,
    _START_TIME,
    _MERGED_VALUES,
    *_,
) = catalog.EXPORTER_METRICS
LLM_ERRORS = catalog.LLM_ERROR.metrics[0]
WORKFLOW_ERRORS = catalog.WORKFLOW_ERROR.metrics[0]
WARNINGS = catalog.WARNING.metrics[0]
AGENT_RUNS = catalog.AGENT_RUN.metrics[0]
QUEUE = catalog.QUEUE_LENGTH.metrics[0]
FAULTS = catalog.RECORDER_FAULT.metrics[0]

QUALITY = "service_mode:genai_quality_score:mean_rate30m"
TOOL_FAILURES = "service_tool:genai_tool_failures_per_call:ratio_rate5m"
RETRIEVAL_FAILURES = "service_source:genai_retrieval_failures_per_retrieval:ratio_rate5m"
POOL_IN_USE = "service_pool:genai_pool_in_use_per_size:ratio"
MEMORY = "instance:genai_host_memory_used_per_total:ratio"
CPU = "instance:genai_host_cpu_usage_per_limit:ratio_rate5m"
DISK = "instance_mountpoint:genai_host_disk_used_per_total:ratio"
GPU_MEMORY = "instance_uuid:genai_gpu_memory_used_per_total:ratio"

_TOOL = catalog.TOOL.metrics[0]
_RETRIEVAL = catalog.RETRIEVAL.metrics[0]
_CONNECTIONS = catalog.POOL_CONNECTIONS.metrics[0]
_DEPENDENCY = catalog.DEPENDENCY.metrics[0]
_OVERFLOW = catalog.LABEL_OVERFLOW.metrics[0]
_PROBES = "probe_success"
_ALERT = ("alertname", "severity", "category", "service", "mode")
_DEVICE = ("instance", "index")


def alerts() -> str:
    """Number of alerts that fire."""
    return f"count({firing_alerts()}) or vector(0)"


def alerts_by_subject() -> str:
    """Alerts that fire, by name and subject."""
    return aggregated("count", _ALERT, firing_alerts())


def alerts_since() -> str:
    """When each of them became pending, as milliseconds since 1970."""
    started = aggregated("min", _ALERT, 'ALERTS_FOR_STATE{alertname!="Watchdog", service=~"$service|"}')
    return among(f"{started} * 1000", alerts_by_subject(), *_ALERT)


def targets_down() -> str:
    """Number of targets that Prometheus cannot scrape."""
    return "count(up == 0) or 0 * count(up)"


def dependencies_down() -> str:
    """Number of dependencies that do not answer the application or the blackbox exporter."""
    asked = aggregated("min", ["service", "dependency"], selector(_DEPENDENCY))
    every = f'({asked} or label_replace({_PROBES}, "dependency", "$1", "instance", "(.*)"))'
    return f"count({every} == 0) or 0 * count({every})"


def dependencies() -> str:
    """1 for each dependency that the application can use, 0 for the others."""
    return aggregated("min", ["dependency"], selector(_DEPENDENCY))


def probes() -> str:
    """1 for each address that answers the blackbox exporter, 0 for the others."""
    return aggregated("min", ["instance"], _PROBES)


def uptime(*by: str) -> str:
    """Seconds since the oldest living process began to record; of all services the youngest."""
    return f"time() - {aggregated('max', by, selector(_START_TIME))}"


def processes() -> str:
    """Living processes by service."""
    return latest(PROCESSES, "service")


def failure_ratio(metric: MetricSpec) -> str:
    """Share of the time range's runs that failed."""
    failed = total(metric, where=['outcome="error"'], suffix="_count")
    return ratio(failed, total(metric, suffix="_count"))


def tool_failure_ratio() -> str:
    """Share of the time range's tool calls that failed."""
    return failure_ratio(_TOOL)


def retrieval_failure_ratio() -> str:
    """Share of the time range's retrievals that failed."""
    return failure_ratio(_RETRIEVAL)


def success_ratio(failures: str, label: str) -> str:
    """Share of successes over 5 minutes by service and label, from the recorded share of failures."""
    return f"1 - {aggregated('max', ['service', label], selector(failures))}"


def connections() -> str:
    """Connections by pool and state."""
    return latest(_CONNECTIONS, "pool", "state")


def per_host(series: MetricSpec | str, *by: str) -> str:
    """Current value by host, and by further labels."""
    return latest(series, "instance", *by, operation="max")


def host_rate(metric: MetricSpec, *by: str, where: tuple[str, ...] = ()) -> str:
    """Increase per second by host, and by further labels."""
    return rate(metric, "instance", *by, where=where)


def cpu_by_mode() -> str:
    """Share of the CPUs' time by what they did, idleness apart."""
    used = host_rate(host.CPU_SECONDS, "mode", where=('mode!="idle"',))
    return f"{used} / on (instance) group_left () ({host_rate(host.CPU_SECONDS)} > 0)"


def throttled_share() -> str:
    """Share of the CPU quota's periods in which a container had to wait."""
    return quotient(host_rate(host.CPU_THROTTLED_PERIODS), host_rate(host.CPU_PERIODS))


def descriptors() -> str:
    """Open descriptors as a share of the most that may be open."""
    return quotient(per_host(host.DESCRIPTORS), per_host(host.MAX_DESCRIPTORS))


def per_gpu(series: MetricSpec | str, *by: str) -> str:
    """Current value by GPU, and by further labels."""
    return latest(series, *_DEVICE, *by, operation="max")


def gpu_throttled() -> str:
    """Share of time for which clocks were held down, by GPU and reason."""
    return rate(gpu.THROTTLED_SECONDS, *_DEVICE, "reason")


def gpu_errors(metric: MetricSpec, where: tuple[str, ...] = ()) -> str:
    """Errors in the time range by GPU."""
    return total(metric, *_DEVICE, where=where)


def scrape_seconds() -> str:
    """How long Prometheus waits for each of our targets."""
    return aggregated("max", ["job", "instance"], "scrape_duration_seconds")


def collectors_failed() -> str:
    """1 for each collector whose last run failed, else 0."""
    return f"1 - {aggregated('min', ['instance', 'collector'], selector(COLLECTOR_SUCCESS))}"


def files(*states: str) -> str:
    """Files in the metrics directory by state."""
    return aggregated("max", ["instance", "state"], selector(FILES, f'state=~"{"|".join(states)}"'))


def overflow() -> str:
    """Records in the time range whose label value came after its cap, by label."""
    return total(_OVERFLOW, "label")


def merged_values() -> str:
    """Label values that the exporter counts together because all processes have too many of them."""
    return latest(_MERGED_VALUES, "label")


def faults() -> str:
    """Records in the time range that were wrong or could not be kept, by reason."""
    return total(FAULTS, "reason")


def gpu_processes() -> str:
    """Memory in use by GPU and name of process."""
    return latest(gpu.PROCESS_MEMORY, *_DEVICE, "process")
