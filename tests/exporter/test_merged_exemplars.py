"""Tests of exemplars on their way through a metrics directory: several processes, killed ones, half-written ones."""

import mmap
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.samples import Exemplar as ParsedExemplar

from genai_exporter.aggregate import Applications
from genai_metrics.blockfile import SUFFIX, parse_blocks, parse_header
from genai_metrics.blocks import Block
from genai_metrics.catalog import LLM_CALL, LLM_CALL_EXEMPLARS, OVERFLOW
from genai_metrics.exemplars import Exemplar, packed
from genai_metrics.observations import observe_step
from genai_metrics.recorder import Recorder
from genai_metrics.traces import write_step

Open = Callable[..., Applications]
Writer = Callable[..., Recorder]

DURATION = LLM_CALL.offset("genai_llm_call_duration_seconds")
BUCKETS = len(LLM_CALL_EXEMPLARS.places)
NOW = 1_800_000_000.0

# Records calls of 0.3 s and 3 s, each in a span of its own, whose ids say their number and that they belong together,
# and whose duration says it, too.
TRACED = """
import os, sys
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span
from genai_metrics import configure, traces, track_llm_call

def record(numbers, model="gpt-4"):
    for number in numbers:
        context = SpanContext(number << 64 | number, number, False, TraceFlags(1))
        with use_span(NonRecordingSpan(context)):
            track_llm_call(model=model, duration=(0.3 if number % 2 else 3.0) + number * 2.0**-40)

configure(metrics_dir=sys.argv[1], service_name="service", pricing=False)
"""


def run(directory: Path, source: str) -> None:
    """Run ``TRACED`` and more in a process of its own that ends."""
    subprocess.run([sys.executable, "-c", TRACED + source, str(directory)], check=True, timeout=60)


def found(applications: Applications, **labels: str) -> dict[str, ParsedExemplar]:
    """Scrape; exemplars of calls by ``le``, as prometheus_client's parser of OpenMetrics reads them."""
    text = b"".join(applications.scrape().render(True)).decode() + "# EOF\n"
    families = openmetrics_parser.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return {
        sample.labels["le"]: sample.exemplar
        for family in families
        for sample in family.samples
        if sample.exemplar and sample.labels.items() >= labels.items()
    }


def numbers(exemplars: dict[str, ParsedExemplar]) -> dict[str, int]:
    """Numbers of the spans by ``le``; fails for an exemplar that is a mixture of two."""
    for exemplar in exemplars.values():
        number = int(exemplar.labels["span_id"], 16)
        assert int(exemplar.labels["trace_id"], 16) == number << 64 | number
        assert exemplar.value == (0.3 if number % 2 else 3.0) + number * 2.0**-40
    return {le: int(exemplar.labels["span_id"], 16) for le, exemplar in exemplars.items()}


def block_of(recorder: Recorder, model: str = "gpt-4") -> Block:
    """The block of a call, with one observation in each bucket."""
    block = recorder.block(LLM_CALL, ("m", "p", model, "chat", "success"))
    for bucket in range(BUCKETS):
        observe_step(block, DURATION + bucket, DURATION + BUCKETS, 1.0)
    return block


def put(recorder: Recorder, number: int, time: float, model: str = "gpt-4") -> None:
    """Write an exemplar as recording does; its bucket is that of 3 s for even numbers, of 0.3 s for odd ones."""
    seconds = (0.3 if number % 2 else 3.0) + number * 2.0**-40
    doubles = packed(Exemplar(time, seconds, number << 64 | number, number))
    assert doubles is not None
    block = recorder.block(LLM_CALL_EXEMPLARS, block_of(recorder, model).key)
    write_step(block, LLM_CALL_EXEMPLARS.places[3 if number % 2 else 6], doubles)


class TestSeveralProcesses:
    """One endpoint for all."""

    def test_newest_of_each_bucket(self, tmp_path: Path, writer: Writer, exporter: Open) -> None:
        """Of the processes' exemplars the one that was recorded last, bucket by bucket, whatever the order of files."""
        first, second = writer(tmp_path), writer(tmp_path)
        put(first, 2, NOW)
        put(first, 3, NOW + 1)
        put(second, 4, NOW + 1)
        put(second, 5, NOW)
        applications = exporter(tmp_path)
        assert numbers(found(applications)) == {"0.5": 3, "5.0": 4}
        put(first, 6, NOW + 2)
        assert numbers(found(applications)) == {"0.5": 3, "5.0": 6}
        put(second, 8, NOW + 3)
        assert numbers(found(applications)) == {"0.5": 3, "5.0": 8}

    def test_ended_processes(self, tmp_path: Path, exporter: Open) -> None:
        """A job that is over before the first scrape leaves its trace, also when its file is folded away."""
        run(tmp_path, "record([1, 2])")
        applications = exporter(tmp_path)
        assert numbers(found(applications)) == {"0.5": 1, "5.0": 2}
        assert list(tmp_path.glob(f"*{SUFFIX}")) == []
        assert numbers(found(applications)) == {"0.5": 1, "5.0": 2}
        run(tmp_path, "record([4])")
        assert numbers(found(applications)) == {"0.5": 1, "5.0": 4}

    def test_forked_children(self, tmp_path: Path, exporter: Open) -> None:
        """A child of a process with exemplars records its own into its own file, from its first call on."""
        run(
            tmp_path,
            """
record([1, 2])
if not os.fork():
    record([4])
    os._exit(0)
os.wait()
""",
        )
        assert numbers(found(exporter(tmp_path))) == {"0.5": 1, "5.0": 4}

    def test_merged_labels(self, tmp_path: Path, writer: Writer, exporter: Open) -> None:
        """Values beyond the exporter's cap share the newest exemplar among them."""
        one = writer(tmp_path)
        for number, model in ((2, "a"), (4, "b"), (6, "c")):
            put(one, number, NOW - number, model)
        applications = exporter(tmp_path, label_caps={"model": 1})
        assert numbers(found(applications, model="a")) == {"5.0": 2}
        assert numbers(found(applications, model=OVERFLOW)) == {"5.0": 4}

    def test_services_apart(self, tmp_path: Path, writer: Writer, exporter: Open) -> None:
        """Equal labels of two services are two series, each with its own."""
        put(writer(tmp_path, "one"), 2, NOW)
        put(writer(tmp_path, "two"), 4, NOW)
        applications = exporter(tmp_path)
        assert numbers(found(applications, service="one")) == {"5.0": 2}
        assert numbers(found(applications, service="two")) == {"5.0": 4}


class TestNothingElse:
    """Exemplars change nothing but their own places."""

    def test_text_and_counts(self, tmp_path: Path, writer: Writer, exporter: Open) -> None:
        """The text format is the same byte for byte, so are the number of series and the files by state."""
        one, other = tmp_path / "one", tmp_path / "other"
        traced, plain = writer(one), writer(other)
        for number in (2, 3):
            put(traced, number, NOW)
            block_of(plain)
        with_, without = exporter(one).scrape(), exporter(other).scrape()
        assert b"".join(with_.render(False)) == b"".join(without.render(False))
        assert (with_.series, with_.files, with_.processes) == (without.series, without.files, without.processes)
        lines = b"".join(with_.render(True)).decode().splitlines(keepends=True)
        assert sum(" # {" in line for line in lines) == 2
        plain_lines = "".join(line.partition(" # {")[0].rstrip("\n") + "\n" for line in lines)
        assert plain_lines == b"".join(without.render(True)).decode()

    def test_archive(self, tmp_path: Path, exporter: Open) -> None:
        """The archive of ended processes holds their counts and no exemplars, which are of no use for long."""
        run(tmp_path, "record([1, 2])")
        exporter(tmp_path).scrape()
        archived = archived_layouts(tmp_path)
        assert LLM_CALL.layout_id in archived
        assert LLM_CALL_EXEMPLARS.layout_id not in archived

    def test_born_at_zero(self, tmp_path: Path, writer: Writer, exporter: Open) -> None:
        """A series that is shown as 0 for now has no exemplar of what it does not show yet."""
        now = 0.0
        applications = exporter(tmp_path, born_at_zero_seconds=20, clock=lambda: now)
        put(writer(tmp_path), 2, NOW)
        assert found(applications) == {}
        now = 21.0
        assert numbers(found(applications)) == {"5.0": 2}


def archived_layouts(directory: Path) -> set[int]:
    """Layouts of the blocks in the archive."""
    data = (directory / "exporter.archive").read_bytes()
    header = parse_header(data)
    return {block.layout_id for block in parse_blocks(data, header.size, header.used)}


class TestHalfWritten:
    """What a reader may find that is not what a writer meant."""

    @pytest.mark.parametrize("double", range(8))
    def test_a_wrong_double(self, tmp_path: Path, writer: Writer, exporter: Open, double: int) -> None:
        """Any of an exemplar's doubles that is another's makes it absent; counts and other exemplars stay."""
        recorder = writer(tmp_path)
        put(recorder, 2, NOW)
        put(recorder, 3, NOW)
        other = packed(Exemplar(NOW + 1, 4.0, 1 << 100 | 1 << 50 | 1, 1 << 40 | 77))
        assert other is not None
        (block,) = recorder.exemplar_blocks(LLM_CALL_EXEMPLARS)
        block.values[LLM_CALL_EXEMPLARS.places[6].start + double] = float(other[double])
        applications = exporter(tmp_path)
        assert numbers(found(applications)) == {"0.5": 3}
        assert b'le="5.0"} 14.0\n' in b"".join(applications.scrape().render(False))
        put(recorder, 4, NOW)
        assert numbers(found(applications)) == {"0.5": 3, "5.0": 4}

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
    def test_damage(self, tmp_path: Path, writer: Writer, exporter: Open, value: float) -> None:
        """Impossible numbers in place of exemplars cost no count."""
        recorder = writer(tmp_path)
        put(recorder, 2, NOW)
        (block,) = recorder.exemplar_blocks(LLM_CALL_EXEMPLARS)
        for slot in range(LLM_CALL_EXEMPLARS.slots):
            block.values[slot] = value
        applications = exporter(tmp_path)
        assert found(applications) == {}
        assert applications.scrape().files["rejected"] == 0
        assert b'le="+Inf"} 14.0\n' in b"".join(applications.scrape().render(False))

    def test_killed_writers(self, tmp_path: Path, exporter: Open) -> None:
        """Processes killed while they write exemplars without a pause: what is shown was recorded, at every scrape."""
        acknowledged = tmp_path / "acknowledged"
        acknowledged.write_bytes(bytes(8))
        directory = tmp_path / "metrics"
        directory.mkdir(mode=0o700)
        source = f"""
import itertools, mmap
file = open({str(acknowledged)!r}, "r+b")
done = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")
traces.EVERY_SECONDS = 0.0
for number in itertools.count(done[0] + 1):
    record([number])
    done[0] = number
"""
        applications = exporter(directory)
        with acknowledged.open("r+b") as file, mmap.mmap(file.fileno(), 8) as shared:
            seen: set[int] = set()
            for _ in range(5):
                start = int.from_bytes(shared[:8], sys.byteorder)
                with subprocess.Popen([sys.executable, "-c", TRACED + source, str(directory)]) as process:
                    while int.from_bytes(shared[:8], sys.byteorder) < start + 2000:
                        assert process.poll() is None
                        seen.update(numbers(found(applications)).values())
                    process.send_signal(signal.SIGKILL)
                    process.wait(60)
                last = int.from_bytes(shared[:8], sys.byteorder)
                latest = numbers(found(applications))
                assert set(latest) == {"0.5", "5.0"}
                # At most the very last one was cut off, which leaves none or an earlier one that was shown before.
                assert max(latest.values()) <= last + 1
        assert len(seen) > 20

    def test_readers_beside_a_writer(self, tmp_path: Path, writer: Writer, exporter: Open) -> None:
        """A call counted after its bucket was read is no exemplar of a bucket that is still empty."""
        recorder = writer(tmp_path)
        put(recorder, 2, NOW)
        block = block_of(recorder)
        block.values[DURATION + 6] = 0.0
        assert found(exporter(tmp_path)) == {}


def test_through_the_public_api(tmp_path: Path, exporter: Open) -> None:
    """Real calls in a real directory; the exemplar's time is that of the call, to the millisecond."""
    run(tmp_path, "record([2])")
    exemplar = found(exporter(tmp_path))["5.0"]
    assert exemplar.timestamp is not None
    written = max(path.stat().st_mtime for path in tmp_path.iterdir())
    assert abs(float(exemplar.timestamp) - written) < 60
