"""Tests of sums over a metrics directory, with real processes that record, end and are killed."""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from math import fsum
from pathlib import Path

import pytest

from genai_exporter.aggregate import Applications
from genai_metrics.catalog import LLM_IN_FLIGHT, OVERFLOW, TENANT, TENANT_REQUESTS
from genai_metrics.recorder import Recorder

Samples = Callable[[Applications], dict[str, float]]
Sum = Callable[..., float]
Start = Callable[..., subprocess.Popen[str]]
Tell = Callable[..., dict[str, int]]
Kill = Callable[[subprocess.Popen[str]], None]
Writer = Callable[..., Recorder]
Open = Callable[..., Applications]

CALLS, INPUT, COST = "genai_llm_calls_total", "genai_llm_input_tokens_total", "genai_tenant_cost_usd_total"

# Starts jobs one after the other; each records one call and ends, every other one by SIGKILL.
JOBS = """
import os, signal, sys
from genai_metrics import configure, track_llm_call
configure(service_name="jobs", pricing=False, metrics_dir=sys.argv[1])
for i in range(int(sys.argv[2])):
    job = os.fork()
    if not job:
        track_llm_call(model="m", input_tokens=i, cost_usd=0.1 * i, tenant="acme")
        if i % 2:
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)
    os.waitpid(job, 0)
"""


def assert_not_below(before: Mapping[str, float], after: Mapping[str, float]) -> None:
    """No series has fallen or gone."""
    assert {name: value for name, value in before.items() if after.get(name, -1.0) < value} == {}


class TestSums:
    """Living, dead and archived files make one number."""

    def test_workers_of_two_services_come_and_go(
        self, tmp_path: Path, start_worker: Start, tell: Tell, kill: Kill, exporter: Open, samples: Samples, total: Sum
    ) -> None:
        """After every call, death and fold the sums by service and model are exactly those of the calls made."""
        rng = random.Random(7)
        made: dict[tuple[str, str], list[tuple[int, float]]] = {}
        applications = exporter(tmp_path)
        workers = [(start_worker(tmp_path, service), service) for service in ("chat", "chat", "search", "search")]
        last: dict[str, float] = {}
        for step in range(24):
            worker, service = workers[step % len(workers)]
            calls = []
            for _ in range(rng.randrange(1, 5)):
                model, tokens, cost = rng.choice(["m1", "m2"]), rng.randrange(5000), rng.random()
                calls.append({"model": model, "input_tokens": tokens, "cost_usd": cost, "tenant": model})
                made.setdefault((service, model), []).append((tokens, cost))
            tell(worker, calls=calls)
            if step % 5 == 4:
                kill(worker)
                workers[step % len(workers)] = (start_worker(tmp_path, service), service)
            found = samples(applications)
            assert_not_below(last, found)
            last = found
            for (service_name, model), of_pair in made.items():
                labels = (f'service="{service_name}"', f'model="{model}"')
                assert len(of_pair) == total(found, CALLS, *labels)
                assert sum(tokens for tokens, _ in of_pair) == total(found, INPUT, *labels)
                # A process adds its costs up one by one: each addition may round.
                paid = total(found, COST, f'service="{service_name}"', f'tenant="{model}"')
                assert fsum(cost for _, cost in of_pair) == pytest.approx(paid, rel=1e-14)
        assert applications.scrape().files == {"live": 4, "dead": 0, "folded": 4, "rejected": 0, "partial": 0}
        assert applications.scrape().processes == {"chat": 2, "search": 2}
        assert len(list(tmp_path.glob("*.blocks"))) == 4

    def test_two_hundred_short_jobs(self, tmp_path: Path, exporter: Open, samples: Samples, total: Sum) -> None:
        """Jobs that record once and end or are killed are all there, and their files are gone, scraped meanwhile."""
        applications = exporter(tmp_path)
        jobs = subprocess.Popen([sys.executable, "-c", JOBS, str(tmp_path), "200"])
        last: dict[str, float] = {}
        while jobs.poll() is None:
            found = samples(applications)
            assert_not_below(last, found)
            last = found
        assert jobs.returncode == 0
        found = samples(applications)
        assert_not_below(last, found)
        assert total(found, CALLS) == 200
        assert total(found, INPUT) == sum(range(200))
        assert total(found, COST) == fsum(0.1 * i for i in range(200))
        # The parent, which recorded nothing, has a file too.
        assert applications.scrape().files == {"live": 0, "dead": 0, "folded": 201, "rejected": 0, "partial": 0}
        assert list(tmp_path.glob("*.blocks")) == []

    def test_a_fold_does_not_change_the_last_bit(
        self, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples
    ) -> None:
        """Counters at rest stay where they are when files are folded in any order and over restarts.

        Added up one by one, the sum would depend on the order, and one bit less is a counter reset to Prometheus.
        """
        rng = random.Random(3)
        for round_ in range(10):
            directory = tmp_path / str(round_)
            recorders = [writer(directory) for _ in range(6)]
            for recorder in recorders:
                block = recorder.block(TENANT, ("acme",))
                for slot in range(TENANT.slots):
                    block.add(slot, rng.random() * 10 ** rng.randrange(-9, 9))
            applications = exporter(directory)
            first = samples(applications)
            rng.shuffle(recorders)
            for recorder in recorders:
                recorder.let_go()
                assert first == samples(applications)
                applications.close()
                applications = exporter(directory)
                assert first == samples(applications)
            assert list(directory.glob("*.blocks")) == []

    def test_the_order_of_files_does_not_matter(
        self, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples
    ) -> None:
        """The same files under other names give the same bytes."""
        recorders = [writer(tmp_path / "made") for _ in range(4)]
        # Added one by one, these make 1e16, 1e16 + 2 or 1e16 + 4, as the order is.
        for number, (recorder, amount) in enumerate(zip(recorders, (1e16, 1.0, 1.0, 1.3), strict=True)):
            for tenant in ("acme", f"tenant {number}", "été"):
                recorder.block(TENANT, (tenant,)).add(2, amount)
        rendered = set()
        paths = sorted((tmp_path / "made").glob("*.blocks"))
        for names in ("abcd", "dcba", "bdac"):
            directory = tmp_path / names
            directory.mkdir(mode=0o700)
            for path, name in zip(paths, names, strict=True):
                shutil.copy(path, directory / f"{name}.blocks")
            rendered.add(b"".join(exporter(directory).scrape().render(False)))
        assert len(rendered) == 1


class TestLiveness:
    """A file's writer lives as long as its lock is held; see also the tests with other pid namespaces."""

    def test_a_forked_child_does_not_keep_its_parent_alive(
        self, tmp_path: Path, start_worker: Start, tell: Tell, kill: Kill, exporter: Open, samples: Samples, total: Sum
    ) -> None:
        """When the parent is killed its file is folded, though a child goes on; the child has its own file."""
        applications = exporter(tmp_path)
        worker = start_worker(tmp_path)
        tell(worker, calls=[{"model": "m"}])
        silent = tell(worker, fork=[])["pid"]
        recording = tell(worker, fork=[{"model": "m"}, {"model": "m"}])["pid"]
        try:
            assert applications.scrape().files["live"] == 2
            kill(worker)
            scrape = applications.scrape()
            assert (scrape.files["live"], scrape.files["folded"]) == (1, 1)
            assert total(samples(applications), CALLS) == 3
        finally:
            os.kill(silent, signal.SIGKILL)
            os.kill(recording, signal.SIGKILL)

    def test_gauges_sum_the_living_only(
        self, tmp_path: Path, start_worker: Start, tell: Tell, kill: Kill, exporter: Open, samples: Samples
    ) -> None:
        """Calls in flight end with their process, and without a process there is no series."""
        name = 'genai_llm_calls_in_flight{service="service",mode="default",model="m"}'
        applications = exporter(tmp_path)
        first, second = start_worker(tmp_path), start_worker(tmp_path)
        for worker in (first, second, second):
            tell(worker, enter="m")
        assert samples(applications)[name] == 3
        kill(second)
        assert samples(applications)[name] == 1
        kill(first)
        assert name not in samples(applications)
        applications.close()
        assert name not in samples(exporter(tmp_path))


class TestCaps:
    """Label caps over all processes of a service."""

    def test_many_tenants_in_several_processes(
        self, tmp_path: Path, start_worker: Start, tell: Tell, kill: Kill, exporter: Open, samples: Samples, total: Sum
    ) -> None:
        """Of 4 x 60 tenants 100 are kept and the rest merged; sums are exact; a restart admits the same ones."""
        caps = {"tenant": 100}
        applications = exporter(tmp_path, label_caps=caps)
        workers = [start_worker(tmp_path) for _ in range(4)]
        for number, worker in enumerate(workers):
            tell(worker, calls=[{"tenant": f"tenant-{number}-{i}", "input_tokens": i} for i in range(60)])
        found = samples(applications)
        tenants = {name for name in found if name.startswith(COST)}
        assert len(tenants) == 101
        assert total(found, "genai_tenant_requests_total") == 240
        assert total(found, "genai_tenant_requests_total", f'tenant="{OVERFLOW}"') == 140
        assert total(found, "genai_tenant_tokens_total") == 4 * sum(range(60))
        assert applications.scrape().merged == {("service", "tenant"): 140}
        for worker in workers[1:]:
            for step in ("restart", "death"):
                if step == "death":
                    kill(worker)
                else:
                    applications.close()
                    applications = exporter(tmp_path, label_caps=caps)
                    # A file that sorts first must not be admitted first.
                    late = start_worker(tmp_path, "a")
                    tell(late, calls=[{"tenant": "late"}])
                assert_not_below(found, samples(applications))
        assert total(samples(applications), "genai_tenant_requests_total", 'service="service"') == 240

    @pytest.mark.parametrize("born_at_zero_seconds", [0, 1e9])
    def test_who_comes_later_does_not_push_out(
        self, born_at_zero_seconds: float, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples
    ) -> None:
        """Tenants of an earlier run are admitted again, shown as 0 still or not, though another file sorts first."""
        options = {"born_at_zero_seconds": born_at_zero_seconds, "label_caps": {"tenant": 2}}
        for name, tenants in (("z.blocks", ("early", "bird")), ("a.blocks", ("another", "late"))):
            recorder = writer(tmp_path / name)
            for tenant in tenants:
                recorder.block(TENANT_REQUESTS, (tenant, "m")).add(0, 1)
        series = {
            f'genai_tenant_requests_total{{service="service",tenant="{name}",mode="m"}}' for name in ("early", "bird")
        }
        directory = tmp_path / "shared"
        for name in ("z.blocks", "a.blocks"):
            applications = exporter(directory, **options)
            (path,) = (tmp_path / name).glob("*.blocks")
            path.rename(directory / name)
            found = samples(applications)
            assert {name for name in found if "tenant_requests" in name and OVERFLOW not in name} == series
            applications.close()
        applications = exporter(directory, **options)
        assert samples(applications) == found

    def test_a_lower_cap_loses_nothing(
        self, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples, total: Sum
    ) -> None:
        """Archived tenants that a new cap does not admit are merged, not dropped, also by the next fold."""
        recorder = writer(tmp_path)
        for number in range(10):
            recorder.block(TENANT_REQUESTS, (f"tenant-{number}", "m")).add(0, number + 1)
        recorder.let_go()
        applications = exporter(tmp_path)
        assert total(samples(applications), "genai_tenant_requests_total") == 55
        for cap in (4, 2):
            applications.close()
            applications = exporter(tmp_path, label_caps={"tenant": cap})
            found = samples(applications)
            assert total(found, "genai_tenant_requests_total") == 55
            assert len([name for name in found if name.startswith("genai_tenant_requests_total")]) == cap + 1
            late = writer(tmp_path)
            late.let_go()
            assert samples(applications) == found


class TestGauges:
    """Merging of values that go up and down."""

    def test_a_file_that_cannot_be_read_has_no_gauges(
        self, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples, total: Sum
    ) -> None:
        """Counters stay where they were; calls in flight are unknown, not what they were."""
        recorder = writer(tmp_path)
        recorder.block(LLM_IN_FLIGHT, ("m", "m")).add(0, 2)
        recorder.block(TENANT, ("acme",)).add(2, 2.5)
        applications = exporter(tmp_path)
        assert total(samples(applications), "genai_llm_calls_in_flight") == 2
        (path,) = tmp_path.glob("*.blocks")
        os.truncate(path, 100)
        found = samples(applications)
        assert not [name for name in found if name.startswith("genai_llm_calls_in_flight")]
        assert total(found, COST) == 2.5
