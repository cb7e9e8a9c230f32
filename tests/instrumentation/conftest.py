"""A recorder, a registry and a metrics directory of its own for each test; and readers of what was recorded."""

import gc
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry

import genai_metrics
from genai_metrics import runtime
from genai_metrics.blockfile import SUFFIX, Header, decode_key, parse_blocks, parse_header
from genai_metrics.catalog import BLOCK_KINDS, BlockKind

PRICES = """\
prices:
  - {model: gpt-4, input_per_1m_usd: 30, output_per_1m_usd: 60}
  - model: full
    input_per_1m_usd: 10
    cache_read_per_1m_usd: 1
    cache_write_per_1m_usd: 12.5
    output_per_1m_usd: 40
    reasoning_per_1m_usd: 50
    request_usd: 0.01
  - model: tiered
    input_per_1m_usd: 1
    output_per_1m_usd: 2
    tiers: [{above_input_tokens: 1000, input_per_1m_usd: 10, output_per_1m_usd: 20}]
"""

Labels = dict[str, str]


def samples(kind: BlockKind, key: Sequence[str], values: Sequence[float]) -> Iterator[tuple[str, Labels, float]]:
    """Yield name, labels and value of the series in a block; of histograms ``_count`` and ``_sum`` alone."""
    labels = dict(zip(kind.labels, key, strict=True))
    for metric, offset in kind.layout():
        own = values[offset : offset + metric.slots]
        if metric.type == "histogram":
            yield f"{metric.name}_count", labels, sum(own[:-1])
            yield f"{metric.name}_sum", labels, own[-1]
        elif metric.split:
            for choice, value in zip(metric.split[1], own, strict=True):
                yield metric.name, labels | {metric.split[0]: choice}, value
        else:
            yield metric.name, labels, own[0]


def read_file(path: Path) -> tuple[Header, dict[tuple[str, tuple[str, ...]], list[float]]]:
    """Read a block file as another process does; blocks by kind and label values."""
    kinds = {kind.layout_id: kind for kind in BLOCK_KINDS}
    with path.open("rb", buffering=0) as file:
        header = parse_header(os.pread(file.fileno(), 4096, 0))
        data = os.pread(file.fileno(), header.used, 0)
    blocks: dict[tuple[str, tuple[str, ...]], list[float]] = {}
    for block in parse_blocks(data, header.size, header.used):
        values = memoryview(data)[block.offset : block.offset + 8 * block.slots].cast("d").tolist()
        name = kinds[block.layout_id].name, decode_key(block.key)
        # An interrupted process may have left an empty one before.
        assert not any(blocks.get(name, ())), f"{name} is twice in {path.name}"
        blocks[name] = values  # type: ignore[assignment]  # typeshed: ints, whatever the format
    return header, blocks


def total(found: Iterable[tuple[str, Labels, float]], name: str, labels: Labels) -> float:
    """Sum the series called ``name`` that carry at least ``labels``; a series that does not exist counts 0."""
    return sum(value for n, have, value in found if n == name and labels.items() <= have.items())


@dataclass
class Metrics:
    """One test's own recording."""

    directory: Path
    price_file: Path
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def configure(self, *, files: bool = False, **settings: Any) -> None:
        """Configure with this test's registry, prices and, with ``files``, its metrics directory."""
        settings.setdefault("metrics_dir", self.directory if files else None)
        settings.setdefault("registry", self.registry)
        settings.setdefault("price_file", self.price_file)
        genai_metrics.configure(service_name=settings.pop("service_name", "tests"), **settings)

    def restart(self) -> None:
        """Forget everything, as in a process that has just started."""
        forget_everything()

    def value(self, name: str, **labels: str) -> float:
        """Sum of matching series in this process's recorder, wherever they lie."""
        blocks = runtime.recorder().blocks()
        return total((s for b in blocks for s in samples(b.kind, b.key, b.read())), name, labels)

    def stored(self, name: str, **labels: str) -> float:
        """Sum of matching series over all files of the directory."""
        return sum(self.stored_in(path, name, **labels) for path in self.files())

    def stored_in(self, path: Path, name: str, **labels: str) -> float:
        """Sum of matching series in one file."""
        kinds = {kind.name: kind for kind in BLOCK_KINDS}
        blocks = read_file(path)[1].items()
        return total((s for (kind, key), values in blocks for s in samples(kinds[kind], key, values)), name, labels)

    def files(self) -> list[Path]:
        """The block files of the directory."""
        return sorted(self.directory.glob(f"*{SUFFIX}"))

    def faults(self) -> dict[str, float]:
        """Counted faults by reason, those that are not 0."""
        found = [b for b in runtime.recorder().blocks() if b.kind.name == "recorder_fault"]
        return {b.key[0]: b.read()[0] for b in found if b.read()[0]}


def forget_everything() -> None:
    """Take the package back to the state after its import."""
    current = runtime.existing_recorder()
    if current is not None:
        current.let_go()
    for collector in list(REGISTRY._collector_to_names):
        if type(collector).__name__ == "BlockCollector":
            REGISTRY.unregister(collector)
    runtime._state = runtime._State()
    runtime._registries.clear()
    for forget in runtime._caches:
        forget()


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that every user may pass through, down from the root."""
    # Not tmp_path: each start of another pytest takes that way from all others.
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Metrics]:
    """Private recording into a fresh recorder with three known prices."""
    for variable in ("GENAI_METRICS_DIR", "GENAI_SERVICE_NAME", "OTEL_SERVICE_NAME", "GENAI_PRICE_FILE"):
        monkeypatch.delenv(variable, raising=False)
    forget_everything()
    price_file = tmp_path / "prices.yaml"
    price_file.write_text(PRICES)
    own = Metrics(tmp_path / "metrics", price_file)
    own.configure()
    yield own
    forget_everything()
    gc.collect()  # mapped files of 64 MiB each


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., str]:
    """Run Python source in a process of its own, killed after ``timeout`` seconds with all that it forked."""

    def run(
        source: str,
        *arguments: str,
        timeout: float = 120,
        environment: Mapping[str, str] = MappingProxyType({}),
        prefix: Sequence[str] = (),
    ) -> str:
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(source))
        process = subprocess.Popen(
            [*prefix, sys.executable, "-W", "error", str(script), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **environment},
        )
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"hung for {timeout} s")
        finally:
            with suppress(ProcessLookupError):  # those that it forked, too
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        assert process.returncode == 0, err
        return out

    return run
