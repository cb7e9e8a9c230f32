"""Tests of what a scrape says about processes and label values, with files of real writers."""

import os
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from genai_exporter.aggregate import Applications
from genai_metrics.catalog import OVERFLOW, TENANT
from genai_metrics.recorder import Recorder

Writer = Callable[..., Recorder]
Exporter = Callable[..., Applications]

_START_TIME_AT = 32  # of the f64 in a block file's header


class TestStarted:
    """When the oldest living process of a service began to record."""

    def test_is_the_oldest_living_process(
        self,
        tmp_path: Path,
        start_worker: Callable[..., subprocess.Popen[str]],
        kill: Callable[[subprocess.Popen[str]], None],
        exporter: Exporter,
    ) -> None:
        """Of two processes the first counts, after its death the second, after both none."""
        applications = exporter(tmp_path)
        assert applications.scrape().started == {}
        began = time.time()
        first = start_worker(tmp_path, "chat")
        between = time.time()
        second = start_worker(tmp_path, "chat")
        assert began <= applications.scrape().started["chat"] <= between
        kill(first)
        assert between <= applications.scrape().started["chat"] <= time.time()
        kill(second)
        assert applications.scrape().started == {}

    def test_each_service_has_its_own(self, tmp_path: Path, writer: Writer, exporter: Exporter) -> None:
        """Services that share a directory do not share their starts."""
        began = time.time()
        writer(tmp_path, "chat")
        between = time.time()
        writer(tmp_path, "rag")
        started = exporter(tmp_path).scrape().started
        assert set(started) == {"chat", "rag"}
        assert began <= started["chat"] <= between <= started["rag"]

    @pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0, 0.0])
    def test_an_impossible_time_is_left_out(
        self, tmp_path: Path, seconds: float, writer: Writer, exporter: Exporter
    ) -> None:
        """A header that names no time costs that gauge only: the process is counted, and so is what it recorded."""
        writer(tmp_path, "chat").block(TENANT, ("acme",)).add(0, 2.0)
        (path,) = tmp_path.glob("*.blocks")
        fd = os.open(path, os.O_WRONLY)
        os.pwrite(fd, struct.pack("=d", seconds), _START_TIME_AT)
        os.close(fd)
        scrape = exporter(tmp_path).scrape()
        assert scrape.started == {}
        assert scrape.processes == {"chat": 1}
        assert b'tenant="acme"' in b"".join(scrape.render(openmetrics=False))


class TestMerged:
    """Label values that only all processes together have too many of."""

    def test_counts_distinct_values_by_service_and_label(
        self, tmp_path: Path, writer: Writer, exporter: Exporter
    ) -> None:
        """Each writer keeps to the cap; the union of two does not, and what is over is counted once a value."""
        for tenants in (("a", "b"), ("b", "c", "d")):
            recorder = writer(tmp_path, "chat")
            for tenant in tenants:
                recorder.block(TENANT, (tenant,)).add(0, 1.0)
        writer(tmp_path, "rag").block(TENANT, ("a",)).add(0, 1.0)
        applications = exporter(tmp_path, label_caps={"tenant": 2})
        scrape = applications.scrape()
        assert scrape.merged == {("chat", "tenant"): 2}
        assert f'service="chat",tenant="{OVERFLOW}"'.encode() in b"".join(scrape.render(openmetrics=False))
        assert applications.scrape().merged == {("chat", "tenant"): 2}

    def test_is_empty_within_the_caps(self, tmp_path: Path, writer: Writer, exporter: Exporter) -> None:
        """As many values as the cap are not too many."""
        recorder = writer(tmp_path, "chat")
        for tenant in ("a", "b"):
            recorder.block(TENANT, (tenant,)).add(0, 1.0)
        assert exporter(tmp_path, label_caps={"tenant": 2}).scrape().merged == {}
