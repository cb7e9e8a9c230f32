"""Tests of reports on a metrics directory: all processes, read only, beside a running exporter."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from genai_exporter.aggregate import Applications
from genai_exporter.archive import ARCHIVE_NAME
from genai_exporter.directory import DirectoryError
from genai_exporter.reporting import report_on
from genai_metrics.catalog import LLM_CALL, LLM_IN_FLIGHT
from genai_metrics.recorder import Recorder

CALL = ("chat", "openai", "gpt-4", "chat", "success")


def record(recorder: Recorder, calls: int) -> None:
    """Count calls, without tokens."""
    recorder.block(LLM_CALL, CALL).add(0, float(calls))


def state(directory: Path) -> dict[str, tuple[int, int, int]]:
    """Return all files with what changes when they are written."""
    stats = {entry.name: entry.stat() for entry in os.scandir(directory)}
    return {name: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}


class TestReportOn:
    """What is summed, and what is touched."""

    def test_living_dead_and_folded(
        self, tmp_path: Path, writer: Callable[..., Recorder], exporter: Callable[..., Applications]
    ) -> None:
        """Counts of all processes that ever were, each once; gauges of the living."""
        folded, dead, living = (writer(tmp_path) for _ in range(3))
        for recorder, calls in ((folded, 1), (dead, 10), (living, 100)):
            record(recorder, calls)
            recorder.block(LLM_IN_FLIGHT, ("chat", "gpt-4")).add(0, 1.0)
        folded.let_go()
        exporter(tmp_path).scrape()
        assert (tmp_path / ARCHIVE_NAME).exists()
        dead.let_go()
        before = state(tmp_path)
        found, problems = report_on(tmp_path)
        assert (found.llm.calls, found.llm.in_flight) == (111, 1)
        assert found.models["openai/gpt-4"].calls == 111
        assert "1 living" in found.scope
        assert problems == []
        assert state(tmp_path) == before

    def test_services(self, tmp_path: Path, writer: Callable[..., Recorder]) -> None:
        """All together, or one; a wrong name is told the right ones."""
        for service, calls in (("chat", 1), ("search", 10)):
            record(writer(tmp_path, service), calls)
        assert report_on(tmp_path)[0].llm.calls == 11
        assert report_on(tmp_path, "search")[0].llm.calls == 10
        with pytest.raises(DirectoryError, match="has no service 'serach'; it has chat, search"):
            report_on(tmp_path, "serach")

    def test_nothing_recorded(self, tmp_path: Path) -> None:
        """An empty directory is no error; one that is missing is."""
        assert report_on(tmp_path)[0].llm.calls == 0
        with pytest.raises(DirectoryError, match="give the directory that the applications write to"):
            report_on(tmp_path / "missing")

    def test_damage_is_told(self, tmp_path: Path, writer: Callable[..., Recorder]) -> None:
        """A file that is not sound is left out by name; a damaged archive is an error, since it holds the most."""
        record(writer(tmp_path), 1)
        (tmp_path / "bad.blocks").write_bytes(b"nonsense")
        found, problems = report_on(tmp_path)
        assert found.llm.calls == 1
        assert problems == ["bad.blocks: left out: only 8 bytes long"]
        (tmp_path / ARCHIVE_NAME).write_bytes(b"nonsense")
        with pytest.raises(DirectoryError, match="holds the counts of ended processes"):
            report_on(tmp_path)

    def test_beside_an_exporter_that_folds(
        self, tmp_path: Path, writer: Callable[..., Recorder], exporter: Callable[..., Applications]
    ) -> None:
        """Processes that end and are folded all the time are neither missed nor counted twice."""
        applications = exporter(tmp_path)
        stop = threading.Event()
        begun = [0]
        ended = [0]

        def churn() -> None:
            while not stop.is_set():
                recorder = writer(tmp_path)
                begun[0] += 1
                record(recorder, 1)
                ended[0] += 1
                recorder.let_go()
                applications.scrape()

        thread = threading.Thread(target=churn)
        thread.start()
        try:
            retried = 0
            for _ in range(100):
                least = ended[0]
                try:
                    calls = report_on(tmp_path)[0].llm.calls
                except DirectoryError:  # it changed all the time: told, not guessed
                    retried += 1
                    continue
                assert least <= calls <= begun[0]
            assert retried < 50
        finally:
            stop.set()
            thread.join()
        assert report_on(tmp_path)[0].llm.calls == ended[0]

    def test_a_fold_in_the_middle_is_noticed(
        self,
        tmp_path: Path,
        writer: Callable[..., Recorder],
        exporter: Callable[..., Applications],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Between reading the archive and the files, a file is folded: all is read again."""
        recorder = writer(tmp_path)
        record(recorder, 5)
        applications = exporter(tmp_path)
        scandir = os.scandir
        folds = [recorder.let_go, applications.scrape]

        def fold_first(path: Path) -> object:
            while folds:
                folds.pop(0)()
            return scandir(path)

        monkeypatch.setattr(os, "scandir", fold_first)
        assert report_on(tmp_path)[0].llm.calls == 5


def command(*arguments: str) -> list[str]:
    """Return the command line of a report."""
    return [sys.executable, "-m", "genai_exporter", "report", *arguments]


class TestCommand:
    """The real command."""

    def test_text_when_piped(self, tmp_path: Path, writer: Callable[..., Recorder]) -> None:
        """Plain text of full width, not cut to a terminal that is not there."""
        record(writer(tmp_path), 12)
        done = subprocess.run(command("--metrics-dir", str(tmp_path)), capture_output=True, text=True, check=True)
        assert re.search(r"^openai/gpt-4 +12 +0 ", done.stdout, re.M)
        assert done.stdout.endswith("~: estimated from the buckets of histograms.\n")
        assert done.stderr == ""

    def test_nothing_recorded(self, tmp_path: Path) -> None:
        """Said plainly, without tables and without a footnote to them."""
        done = subprocess.run(command("--metrics-dir", str(tmp_path)), capture_output=True, text=True, check=True)
        assert done.stdout.startswith(f"No process has recorded anything in {tmp_path} yet, ")
        assert len(done.stdout.splitlines()) == 2

    def test_json(self, tmp_path: Path, writer: Callable[..., Recorder]) -> None:
        """One document, from the environment's directory."""
        record(writer(tmp_path), 12)
        environment = {**os.environ, "GENAI_METRICS_DIR": str(tmp_path)}
        done = subprocess.run(command("--json"), capture_output=True, text=True, check=True, env=environment)
        found = json.loads(done.stdout)
        assert (found["llm"]["calls"], found["problems"]) == (12, [])

    def test_watch_json(self, tmp_path: Path, writer: Callable[..., Recorder]) -> None:
        """A line each time with what is so then; SIGTERM ends it with exit code 0."""
        recorder = writer(tmp_path)
        arguments = command("--metrics-dir", str(tmp_path), "--json", "--watch", "--interval", "0.05")
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                assert json.loads(process.stdout.readline())["llm"]["calls"] == 0
                record(recorder, 7)
                deadline = time.monotonic() + 60
                while json.loads(process.stdout.readline())["llm"]["calls"] != 7:
                    assert time.monotonic() < deadline
                process.send_signal(signal.SIGTERM)
                process.stdout.read()
                assert process.wait(60) == 0
            finally:
                process.kill()

    @pytest.mark.parametrize("watch", [False, True])
    def test_tables_on_a_terminal(self, tmp_path: Path, writer: Callable[..., Recorder], watch: bool) -> None:
        """Tables, where label values are text and no markup; with --watch until Ctrl-C."""
        writer(tmp_path).block(LLM_CALL, ("chat", "x", "[bold]m[/]", "chat", "success")).add(0, 34.0)
        ours, theirs = pty.openpty()
        arguments = command("--metrics-dir", str(tmp_path), *(["--watch", "--interval", "0.05"] if watch else []))
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200", "LINES": "50"}
        with subprocess.Popen(arguments, stdout=theirs, stderr=theirs, env=environment) as process:
            os.close(theirs)
            try:
                seen = self.read_until(ours, "estimated from the buckets")
                assert "x/[bold]m[/]" in seen
                assert " 34 " in seen
                if watch:
                    self.read_until(ours, "estimated from the buckets")
                    process.send_signal(signal.SIGINT)
                self.read_until(ours, "")
                assert process.wait(60) == 0
            finally:
                process.kill()
                os.close(ours)

    @staticmethod
    def read_until(terminal: int, text: str) -> str:
        """Read what is shown until it holds ``text``, or (empty) until the program has ended."""
        seen = ""
        while not text or text not in seen:
            assert select.select([terminal], [], [], 60)[0], seen
            try:
                data = os.read(terminal, 65536)
            except OSError:  # the other end is closed
                data = b""
            if not data:
                assert not text, seen
                break
            seen += data.decode(errors="replace")
        return seen

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            ((), 2, "Missing option '--metrics-dir'"),
            (
                ("--metrics-dir", "missing"),
                1,
                "missing cannot be read: No such file or directory; give the directory that",
            ),
            (("--metrics-dir", ".", "--interval", "-1"), 2, "'--interval': '-1' is not a number of seconds"),
        ],
    )
    def test_errors(self, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
        """Named, with the remedy, and without a traceback."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GENAI_")}
        done = subprocess.run(
            command(*arguments), capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
        )
        assert done.returncode == code
        assert re.search(message, done.stderr)
        assert "Traceback" not in done.stderr
