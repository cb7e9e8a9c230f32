"""Tests of the page for people."""

import subprocess
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from check_runs import check

from genai_exporter.collectors.exporter import Outcome, Totals
from genai_exporter.collectors.frame import Collected
from genai_exporter.landing import Page, render
from genai_metrics.catalog import BLOCK_KINDS, EXPORTER_METRICS, GPU_METRICS, HOST_METRICS

FILES = {"live": 3, "dead": 0, "folded": 12, "rejected": 0, "partial": 0}


def totals(
    series: int,
    files: Mapping[str, int],
    processes: Mapping[str, int],
    merged: Mapping[tuple[str, str], int] | None = None,
    started: Mapping[str, float] | None = None,
) -> Totals:
    """What a good scrape found."""
    return Totals(series, files, processes, started or {}, merged or {})


BUSY = Outcome(
    30_000.0,
    0.0214,
    totals(12345, FILES, {"chat": 2, "rag": 1}, started={"chat": 1199.0, "rag": 29_905.0}),
    None,
    (Collected("gpu", 0.002, None, {}),),
)


class Checker(HTMLParser):
    """Collects text, links and blocks of code, and fails on tags that do not nest."""

    VOID = frozenset(("meta", "link", "br", "img", "hr", "input"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.words: list[str] = []
        self.blocks: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag and where it leads."""
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "pre":
            self.blocks.append("")

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost tag."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note visible text."""
        if "style" not in self.open:
            self.words += data.split()
        if "pre" in self.open:
            self.blocks[-1] += data


def read(outcome: Outcome | None, **changes: str | bool) -> tuple[str, Checker]:
    """Render a page; return its text and what the checker found."""
    values: dict[str, Any] = {"directory": "/run/m", "address": "h:9840", "version": "1.2.3", "python": "3.11.7"}
    values |= changes
    checker = Checker()
    checker.feed(render(Page(outcome=outcome, age=4.0, **values)))
    assert checker.open == []
    return " ".join(checker.words), checker


class TestRender:
    """What a newcomer reads."""

    def test_tells_what_is_collected_from_whom(self) -> None:
        """Series, services with their processes, files, the last scrape, version."""
        text, _ = read(BUSY)
        for expected in (
            "12,345 series",
            "2 services",
            "3 living processes",
            "21 ms last scrape, 4 s ago",
            "chat 2 8 h rag 1 95 s",
            "applications what applications recorded works 21 ms gpu NVIDIA GPUs works 2 ms",
            "folded into the archive 12",
            "genai-exporter 1.2.3 on Python 3.11.7",
            "from /run/m",
        ):
            assert expected in text

    def test_lists_every_metric_of_the_catalogue(self) -> None:
        """Nothing that may appear in a scrape is missing from the page."""
        text, _ = read(BUSY)
        applications = [metric for kind in BLOCK_KINDS for metric in kind.metrics]
        specs = [*applications, *HOST_METRICS, *GPU_METRICS, *EXPORTER_METRICS]
        assert [spec.name for spec in specs if spec.name not in text] == []

    def test_a_collector_that_failed(self) -> None:
        """The others work, the reason is there, escaped, and the scrape took as long as the slowest of them."""
        slow = Outcome(0.0, 0.01, totals(1, FILES, {"chat": 1}), None, (Collected("odd", 5.0, "no <answer>", {}),))
        text, _ = read(slow)
        assert "applications what applications recorded works 10 ms" in text
        assert "odd failed: no <answer> 5.0 s" in text
        assert "5.0 s last scrape" in text

    def test_a_service_without_a_living_process(self) -> None:
        """It has no age."""
        text, _ = read(Outcome(9.0, 0.1, totals(9, FILES, {"chat": 0}, started={}), None))
        assert "chat 0 none lives" in text

    def test_a_configuration_that_was_not_taken_over(self) -> None:
        """The page says that an old one is in force, and only then."""
        assert "The configuration file could not be taken over" in read(BUSY, old_config=True)[0]
        assert "The configuration file could not be taken over" not in read(BUSY)[0]

    def test_links_stay_here_and_nothing_is_loaded(self) -> None:
        """The only links lead to the exporter's own endpoints, relative to the page for use behind a proxy."""
        _, page = read(BUSY)
        assert page.links == ["metrics", "-/healthy", "-/ready"]
        assert not page.tags & {"script", "img", "link", "iframe"}

    def test_first_steps_open_until_there_is_data(self) -> None:
        """An empty directory shows how to fill it, with the values of this exporter."""
        empty = Outcome(0.0, 0.001, totals(0, dict.fromkeys(FILES, 0), {}), None)
        text, _ = read(empty)
        assert "No application has recorded anything here yet" in text
        assert "None yet." in text
        assert "export GENAI_METRICS_DIR=/run/m export GENAI_SERVICE_NAME=chat" in text
        assert 'targets: ["h:9840"]' in text
        page = Page(outcome=empty, age=0, directory="", address="", version="", python="")
        assert "<details open>" in render(page)
        page = Page(outcome=BUSY, age=0, directory="", address="", version="", python="")
        assert "<details open>" not in render(page)

    def test_first_steps_can_be_pasted(self, tmp_path: Path) -> None:
        """Prometheus's configuration passes the exporter's own check; the shell takes any directory for what it is."""
        _, page = read(BUSY, directory="/run/my metrics")
        shell, _, configuration = page.blocks
        (tmp_path / "prometheus.yml").write_text(configuration)
        told = check(tmp_path / "prometheus.yml")
        assert (told.code, told.problems, told.notes) == (0, [], [])
        script = f'{shell}\nprintf "%s|%s" "$GENAI_METRICS_DIR" "$GENAI_SERVICE_NAME"'
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout == "/run/my metrics|chat"

    def test_ended_processes_are_not_forgotten(self) -> None:
        """Series without a living process are explained."""
        text, _ = read(Outcome(0.0, 0.1, totals(9, {**FILES, "live": 0}, {}), None))
        assert "None is running now. What ended processes recorded is still served." in text

    def test_a_failure_is_told_with_its_reason(self) -> None:
        """No figures from before, but the reason."""
        text, _ = read(Outcome(0.0, 0.1, None, "cannot read <dir>"))
        assert "The last scrape failed: cannot read <dir>." in text
        assert "living processes" not in text.partition("Services")[0]

    @pytest.mark.parametrize(
        ("duration", "age", "expected"),
        [
            (0.0004, 0.2, "< 1 ms last scrape, just now"),
            (0.0004, -5.0, "< 1 ms last scrape, just now"),
            (2.25, 119.0, "2.2 s last scrape, 119 s ago"),
            (0.5, 299.0, "500 ms last scrape, 5 min ago"),
        ],
    )
    def test_times_in_readable_units(self, duration: float, age: float, expected: str) -> None:
        """From less than a millisecond to minutes."""
        outcome = Outcome(0.0, duration, totals(1, FILES, {"chat": 1}), None)
        page = Page(outcome=outcome, age=age, directory="", address="", version="", python="")
        checker = Checker()
        checker.feed(render(page))
        assert expected in " ".join(checker.words)
        assert "1 living process " in " ".join(checker.words)

    def test_before_the_first_scrape(self) -> None:
        """The page says so instead of showing zeros."""
        text, _ = read(None)
        assert "has not been read yet" in text

    @pytest.mark.parametrize("field", ["directory", "address", "version", "python"])
    def test_escapes_every_value(self, field: str) -> None:
        """Markup in a value is shown, not interpreted; a dollar sign is no placeholder."""
        text, page = read(BUSY, **{field: '"><script>alert($directory)</script>'})
        assert "<script>alert($directory)</script>" in text
        assert "script" not in page.tags

    def test_escapes_names_from_applications(self) -> None:
        """A service may be called anything."""
        odd = Outcome(0.0, 0.1, totals(1, {"<b>odd</b>": 1}, {"<script>x</script>": 1}), None)
        text, page = read(odd)
        assert "<script>x</script> 1 none lives" in text
        assert "<b>odd</b> 1" in text
        assert "script" not in page.tags

    def test_points_out_files_that_need_attention(self) -> None:
        """Rejected and partial files are marked, but not when there are none."""
        bad = Outcome(0.0, 0.1, totals(1, {**FILES, "rejected": 2}, {}), None)
        marked = '<strong class="bad">refused: they cannot be read</strong>'
        page = Page(outcome=bad, age=0, directory="", address="", version="", python="")
        assert marked in render(page)
        page = Page(outcome=BUSY, age=0, directory="", address="", version="", python="")
        assert marked not in render(page)

    def test_tells_where_the_exporter_merged_label_values(self) -> None:
        """Service, label and count are there with the remedy, escaped; without any the page has no such section."""
        merged = {("chat", "tenant"): 1234, ("<i>rag</i>", "model"): 1}
        text, page = read(Outcome(0.0, 0.1, totals(1, FILES, {"chat": 1}, merged), None))
        assert "<i>rag</i> model 1 chat tenant 1,234" in text
        assert "raise label_caps here and in the applications" in text
        assert "i" not in page.tags
        text, _ = read(BUSY)
        assert "beyond their caps" not in text
