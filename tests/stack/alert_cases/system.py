"""Alerts on pools, dependencies, machines and GPUs."""

from alert_cases import Case, Firing, series
from genai_metrics import catalog
from genai_metrics.catalog import GPU_METRICS, HOST_METRICS, MetricSpec

_SIZE = catalog.POOL_SIZE.metrics[0]
_IN_USE = catalog.POOL_IN_USE.metrics[0]
_DEPENDENCY = catalog.DEPENDENCY.metrics[0]
_BY_NAME = {metric.name.removeprefix("genai_"): metric for metric in (*HOST_METRICS, *GPU_METRICS)}
_UP = {'up{job="genai-exporter",instance="a:9840"}': "1x2000"}
_GPU = {"uuid": "GPU-1", "index": "0", "name": "H100"}
_PAGE = "/d/genai-health"


def _of(metric_name: str, /, **labels: str) -> str:
    """Return a series of the machine or of a GPU, which has no service."""
    metric: MetricSpec = _BY_NAME[metric_name]
    missing = set(metric.label_names) - set(labels)
    if missing or set(labels) - set(metric.label_names):
        raise ValueError(f"{metric.name} has the labels {metric.label_names}, not {tuple(labels)}")
    values = {"job": "genai-exporter", "instance": "a:9840", **labels}
    return metric.name + "{" + ",".join(f'{label}="{value}"' for label, value in values.items()) + "}"


def _firing(description: str, **labels: str) -> tuple[Firing, ...]:
    own = {"job": "genai-exporter", "instance": "a:9840", **labels}
    return (Firing(own, description, _PAGE),)


def _pool(in_use: str, **labels: str) -> dict[str, str]:
    return {
        series(_IN_USE, pool="vectors", **labels): in_use,
        series(_SIZE, pool="vectors", **labels): "20x200",
    }


_POOL = (
    Case(
        "GenAIPoolExhausted",
        "fires",
        _pool("0.95x80") | _pool("0.1x80", instance="b"),
        before="4m45s",
        at="5m",
        firing=(
            Firing(
                {"service": "chat", "pool": "vectors"},
                "95% of the connections of pool vectors are in use in the fullest process of service chat "
                "(threshold: 90%).",
                "/d/genai-health?var-service=chat",
            ),
        ),
        note="for one machine among idle ones",
    ),
    Case("GenAIPoolExhausted", "quiet", _pool("0.9x80") | _pool("0.9x80", instance="b"), at="20m"),
    Case("GenAIPoolExhausted", "low_traffic", _pool("0x80"), at="20m"),
    Case("GenAIPoolExhausted", "absent", {}, at="20m"),
    Case("GenAIPoolExhausted", "reset", _pool("0.95x15 0x60"), at="10m"),
)


def _dependency(values: str, **labels: str) -> dict[str, str]:
    return {series(_DEPENDENCY, dependency="redis", **labels): values}


_PROBE = 'probe_success{job="blackbox",instance="qdrant:6333"}'
_DEPENDENCIES = (
    Case(
        "GenAIDependencyDown",
        "fires",
        _dependency("1x10 0x60") | {_PROBE: "1x70"},
        before="4m30s",
        at="4m45s",
        firing=(
            Firing(
                {"service": "chat", "dependency": "redis"},
                "redis, which service chat needs, is down.",
                _PAGE,
            ),
        ),
        note="as the application says",
    ),
    Case(
        "GenAIDependencyDown",
        "fires",
        _dependency("1x70") | {_PROBE: "1x10 0x60"},
        at="5m",
        firing=(
            Firing(
                {"job": "blackbox", "instance": "qdrant:6333", "dependency": "qdrant:6333"},
                "qdrant:6333 is down.",
                _PAGE,
            ),
        ),
        note="as a probe found",
    ),
    # Seven scrapes: a minute and a half.
    Case("GenAIDependencyDown", "quiet", _dependency("1x10 0x6 1x60"), at="5m"),
    Case("GenAIDependencyDown", "low_traffic", _dependency("1x70"), at="5m"),
    Case("GenAIDependencyDown", "absent", {}, at="5m"),
    Case("GenAIDependencyDown", "reset", _dependency("1x10 _x8 1x60"), at="6m"),
)


def _memory(used: str) -> dict[str, str]:
    return _UP | {_of("host_memory_used_bytes"): used, _of("host_memory_total_bytes"): "100x200"}


def _cpu(usage: str) -> dict[str, str]:
    return _UP | {_of("host_cpu_usage_seconds_total"): usage, _of("host_cpu_limit_cores"): "2x400"}


def _disk(used: str, available: str) -> dict[str, str]:
    labels = {"mountpoint": "/data", "device": "/dev/sda1"}
    return _UP | {_of("host_disk_used_bytes", **labels): used, _of("host_disk_available_bytes", **labels): available}


_HOST = (
    Case(
        "GenAIHostMemoryHigh",
        "fires",
        _memory("92x80"),
        before="4m45s",
        at="5m15s",
        firing=_firing("92% of the memory that a:9840 may use is in use (threshold: 90%)."),
    ),
    Case("GenAIHostMemoryHigh", "quiet", _memory("90x80"), at="20m"),
    Case("GenAIHostMemoryHigh", "low_traffic", _memory("5x80"), at="20m"),
    Case("GenAIHostMemoryHigh", "absent", _UP, at="20m"),
    Case("GenAIHostMemoryHigh", "reset", _memory("92x15 3x80"), at="15m"),
    # Two cores: 30 s of CPU time each 15 s at most.
    Case(
        "GenAIHostCpuSaturated",
        "fires",
        _cpu("0+29.4x200"),
        before="19m",
        at="21m",
        firing=_firing("98% of the CPU time that a:9840 may use is in use (threshold: 95%)."),
    ),
    Case("GenAIHostCpuSaturated", "quiet", _cpu("0+28.2x200"), at="40m"),
    Case("GenAIHostCpuSaturated", "low_traffic", _cpu("0x200"), at="40m"),
    Case("GenAIHostCpuSaturated", "absent", _UP, at="40m"),
    Case("GenAIHostCpuSaturated", "reset", _cpu("0+28.2x80 0+28.2x80"), at="30m"),
    Case(
        "GenAIDiskFull",
        "fires",
        _disk("97x120", "3x120"),
        before="9m",
        at="11m",
        firing=_firing(
            "The disk at /data of a:9840 is 97% full, and full within 4 hours at the pace of the last hour or above "
            "the threshold already.",
            mountpoint="/data",
            device="/dev/sda1",
        ),
        interval="1m",
    ),
    # 15 an hour: 25 are left after an hour and a half, and gone in less than 2 hours.
    Case(
        "GenAIDiskFull",
        "fires",
        _disk("50+0.25x120", "50-0.25x120"),
        at="100m",
        firing=_firing(
            "The disk at /data of a:9840 is 75% full, and full within 4 hours at the pace of the last hour or above "
            "the threshold already.",
            mountpoint="/data",
            device="/dev/sda1",
        ),
        interval="1m",
        note="soon",
    ),
    Case("GenAIDiskFull", "quiet", _disk("94x120", "6x120"), at="100m", interval="1m"),
    Case("GenAIDiskFull", "quiet", _disk("10+0.25x60", "90-0.25x60"), at="50m", interval="1m", note="half empty"),
    Case("GenAIDiskFull", "low_traffic", _disk("70x120", "30x120"), at="100m", interval="1m"),
    Case("GenAIDiskFull", "absent", _UP, at="100m", interval="1m"),
    Case("GenAIDiskFull", "reset", _disk("97x5 20x120", "3x5 80x120"), at="30m", interval="1m"),
)


def _gpu_memory(used: str) -> dict[str, str]:
    return _UP | {
        _of("gpu_memory_used_bytes", **_GPU): used,
        _of("gpu_memory_reserved_bytes", **_GPU): "2x80",
        _of("gpu_memory_total_bytes", **_GPU): "100x80",
    }


def _throttled(values: str, reason: str = "software_thermal") -> dict[str, str]:
    reasons = ("software_thermal", "hardware_slowdown", "software_power_cap", "application_clocks")
    others = {_of("gpu_throttled", **_GPU, reason=other): "0x80" for other in reasons if other != reason}
    return others | {_of("gpu_throttled", **_GPU, reason=reason): values}


def _hot(values: str) -> dict[str, str]:
    return _UP | {_of("gpu_temperature_celsius", **_GPU): values}


def _ecc(values: str, kind: str = "uncorrected") -> dict[str, str]:
    return {_of("gpu_ecc_errors_total", **_GPU, kind=kind): values, _of("gpu_lost", **_GPU): "0x80"}


_GPUS = (
    Case(
        "GenAIGpuMemoryFull",
        "fires",
        _gpu_memory("95x80"),
        before="4m45s",
        at="5m15s",
        firing=_firing("97% of the memory of GPU 0 (H100) of a:9840 is in use (threshold: 95%).", **_GPU),
    ),
    Case("GenAIGpuMemoryFull", "quiet", _gpu_memory("93x80"), at="10m"),
    Case("GenAIGpuMemoryFull", "low_traffic", _gpu_memory("0x80"), at="10m"),
    Case("GenAIGpuMemoryFull", "absent", _UP, at="10m"),
    Case("GenAIGpuMemoryFull", "reset", _gpu_memory("95x15 0x80"), at="10m"),
    Case(
        "GenAIGpuThrottling",
        "fires",
        _throttled("1x80"),
        before="9m45s",
        at="10m",
        firing=_firing(
            "GPU 0 (H100) of a:9840 holds its clocks down because of heat, or because its server is short of power.",
            **_GPU,
        ),
    ),
    Case(
        "GenAIGpuThrottling",
        "fires",
        _throttled("1x80", "hardware_slowdown"),
        at="10m",
        firing=_firing(
            "GPU 0 (H100) of a:9840 holds its clocks down because of heat, or because its server is short of power.",
            **_GPU,
        ),
        note="for an old board, which does not say more",
    ),
    Case("GenAIGpuThrottling", "quiet", _throttled("1x80", "software_power_cap"), at="15m", note="at full load"),
    Case("GenAIGpuThrottling", "quiet", _throttled("1x80", "application_clocks"), at="15m"),
    Case("GenAIGpuThrottling", "low_traffic", _throttled("0x80"), at="15m"),
    Case("GenAIGpuThrottling", "absent", _UP, at="15m"),
    Case("GenAIGpuThrottling", "reset", _throttled("1x30 0x3 1x37"), at="15m"),
    Case(
        "GenAIGpuHot",
        "fires",
        _hot("88x80"),
        before="4m45s",
        at="5m15s",
        firing=_firing("GPU 0 (H100) of a:9840 is at 88 degrees Celsius (threshold: 87).", **_GPU),
    ),
    Case("GenAIGpuHot", "quiet", _hot("87x80"), at="10m"),
    Case("GenAIGpuHot", "low_traffic", _hot("30x80"), at="10m"),
    Case("GenAIGpuHot", "absent", _UP, at="10m"),
    Case("GenAIGpuHot", "reset", _hot("88x15 40x80"), at="10m"),
    Case(
        "GenAIGpuErrors",
        "fires",
        _ecc("0x4 1x76"),
        before="1m",
        at="1m30s",
        firing=_firing(
            "GPU 0 (H100) of a:9840 had uncorrected memory errors within the last hour.",
            **_GPU,
            of="had uncorrected memory errors within the last hour",
        ),
    ),
    Case(
        "GenAIGpuErrors",
        "fires",
        {_of("gpu_lost", **_GPU): "0x4 1x76"},
        before="1m",
        at="1m15s",
        firing=_firing("GPU 0 (H100) of a:9840 is lost.", **_GPU, of="is lost"),
        note="for one that is lost",
    ),
    Case("GenAIGpuErrors", "quiet", _ecc("0+3x80", "corrected"), at="10m"),
    Case("GenAIGpuErrors", "low_traffic", _ecc("0x80"), at="10m"),
    Case("GenAIGpuErrors", "absent", _UP, at="10m"),
    # A counter that begins anew with the driver has counted nothing.
    Case("GenAIGpuErrors", "reset", _ecc("7x20 0x60"), at="10m"),
)

CASES = (*_POOL, *_DEPENDENCIES, *_HOST, *_GPUS)
