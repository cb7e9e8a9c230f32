"""The week of history that a new demo gets: its profile, its text, and what a real Prometheus makes of it."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import servers
import yaml

from genai_metrics import catalog
from genai_metrics.catalog.sparse import sparse
from genai_stack import REPOSITORY, backfill
from genai_stack.binaries import require
from genai_stack.history import DAY, SECONDS, History, Profile
from genai_stack.profile import SUBJECTS, copied, raw_names, recorded

INSTANCE = "127.0.0.1:9840"
METRICS = {metric.name: metric for kind in catalog.BLOCK_KINDS for metric in kind.metrics}
END = 1_794_700_000
SAMPLE = re.compile(r"(?P<series>\S+\{.*\}) (?P<value>\S+) (?P<time>\d+)\n")


@pytest.fixture(scope="module")
def profile() -> Profile:
    """What is committed."""
    return Profile.read()


def samples(text: str) -> dict[str, list[tuple[int, float]]]:
    """Series to its samples in the order of the text."""
    found: dict[str, list[tuple[int, float]]] = {}
    for match in SAMPLE.finditer(text):
        found.setdefault(match["series"], []).append((int(match["time"]), float(match["value"])))
    return found


class TestProfile:
    """What a run recorded, as committed."""

    def test_raw_counters_are_those_of_the_catalogue(self, profile: Profile) -> None:
        """A renamed metric or label must not leave the history behind."""
        raw = {name: series for name, series in profile.counters.items() if ":" not in name}
        assert set(raw) <= set(raw_names())
        for name, series in raw.items():
            metric = METRICS[re.sub("_(bucket|sum|count)$", "", name) if name not in METRICS else name]
            labels = {*metric.label_names, "service", "job", *(["le"] if name.endswith("_bucket") else [])}
            assert {frozenset(given) for given, _ in series} == {frozenset(labels)}, name

    def test_recorded_names_are_those_of_the_rules(self, profile: Profile) -> None:
        """And each name says by its level which labels it has."""
        names = {*profile.flows, *profile.levels, *(name for name in profile.counters if ":" in name)}
        assert names <= {*recorded(), sparse(SUBJECTS)}
        for name in names:
            series = {**profile.counters, **profile.flows, **profile.levels}[name]
            level = set(name.partition(":")[0].split("_")) - {"instance"}
            for labels, _ in series:
                assert level <= set(labels), name

    def test_copies_are_those_of_the_rules(self, profile: Profile) -> None:
        """Every counter that is recorded again every 20 minutes has a week of it, under the name that panels read."""
        assert profile.copies
        assert profile.copies == copied(profile.counters)
        assert sparse(SUBJECTS) in profile.levels

    def test_what_alerts_compare_with_last_week_is_there(self, profile: Profile) -> None:
        """Every recorded series that an alert reads a week back has a history."""
        rules = (REPOSITORY / "prometheus" / "rules").glob("alerts_*.yml")
        expressions = [
            rule["expr"]
            for path in rules
            for group in yaml.safe_load(path.read_text())["groups"]
            for rule in group["rules"]
        ]
        weekly = {name for text in expressions for name in re.findall(r"([\w:]+)(?:\[\w+\])? offset (?:1w|167h)", text)}
        assert weekly
        assert weekly <= {*profile.flows, *profile.levels}

    def test_it_is_of_a_demo_that_is_well(self, profile: Profile) -> None:
        """No default threshold is passed on the mean of the day: cost, errors, quality."""
        hourly = 3600 * sum(rate for _, rate in profile.flows["service:genai_llm_cost_usd:increase1h"])
        assert 0.05 < hourly < 3
        workflows = profile.counters["genai_workflow_duration_seconds_count"]
        failed = sum(rate for labels, rate in workflows if labels["outcome"] == "error")
        assert failed < 0.01 * sum(rate for _, rate in workflows)
        assert all(score >= 0.8 for _, score in profile.levels["service_mode:genai_quality_score:mean_rate30m"])


class TestText:
    """The OpenMetrics text."""

    def test_counters_never_fall_and_times_rise(self, profile: Profile) -> None:
        """Also from one piece of the text to the next."""
        history = History(profile, INSTANCE, END)
        middle = history.start + SECONDS // 2 // DAY * DAY
        whole: dict[str, list[tuple[int, float]]] = {}
        for begin, end in ((history.start, middle), (middle, END)):
            for series, points in samples("".join(history.text(begin, end))).items():
                whole.setdefault(series, []).extend(points)
        for series, points in whole.items():
            times = [at for at, _ in points]
            assert times == sorted(set(times)), series
            name = series.partition("{")[0]
            if name in profile.counters or name in map(sparse, profile.copies):
                values = [value for _, value in points]
                assert values == sorted(values), series
        assert min(points[0][0] for points in whole.values()) >= history.start
        assert max(points[-1][0] for points in whole.values()) < END

    def test_buckets_rise_with_their_bound(self, profile: Profile) -> None:
        """And the highest is the count."""
        text = samples("".join(History(profile, INSTANCE, END).text(END - 60, END)))
        name = "genai_workflow_duration_seconds"
        last = {series: points[-1][1] for series, points in text.items() if series.startswith(f"{name}_")}
        buckets: dict[str, list[tuple[float, float]]] = {}
        for series, value in last.items():
            if series.startswith(f"{name}_bucket"):
                bound = re.search(r'le="([^"]+)"', series)
                assert bound
                rest = re.sub(r'le="[^"]+",?', "", series).replace(f"{name}_bucket", f"{name}_count")
                buckets.setdefault(rest.replace(",}", "}"), []).append((float(bound[1]), value))
        assert buckets
        for count, found in buckets.items():
            values = [value for _, value in sorted(found)]
            assert values == sorted(values)
            assert values[-1] == last[count]

    def test_parts_models_and_modes_add_up_to_the_same_cost(self, profile: Profile) -> None:
        """Panels that break the same sum down in different ways must not contradict each other."""
        text = samples("".join(History(profile, INSTANCE, END).text(END - 60, END)))
        sums = {
            level: sum(
                points[-1][1] for series, points in text.items() if series.startswith(f"{level}:genai_llm_cost_usd")
            )
            for level in ("instance_service_mode_part", "instance_service_mode_model")
        }
        by_part, by_model = sums.values()
        assert by_part == pytest.approx(by_model, rel=0.005)
        assert by_part > 0

    def test_the_same_seed_gives_the_same_text(self, profile: Profile) -> None:
        """Another one gives another."""
        one, same, other = ("".join(History(profile, INSTANCE, END, seed).text(END - 600, END)) for seed in (1, 1, 2))
        assert one == same != other

    def test_days_have_their_cycle(self, profile: Profile) -> None:
        """At eight in the evening (UTC) people ask about twice as much as at five in the morning."""
        load = History(profile, INSTANCE, END).load
        midnight = END // DAY * DAY - DAY
        evening, morning = (load.over(3600, midnight + hour * 3600) for hour in (21, 6))
        assert 1.9 < evening / morning < 2.5


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Prometheus]:
    """A Prometheus that has never scraped anything, over the history."""
    folder = tmp_path_factory.mktemp("history")
    backfill.write(folder / "data", require("promtool"), INSTANCE, report=lambda _: None)
    with servers.prometheus(folder, {}, "15s") as running:
        yield running


class TestPrometheus:
    """What a real Prometheus reads of it."""

    def test_last_week_is_there(self, prometheus: servers.Prometheus) -> None:
        """The hour before and the hour after the same time of last week, whole."""
        for offset in ("1w", "167h"):
            count = prometheus.value(f"count_over_time(service:genai_requests:rate5m[1h] offset {offset})")
            assert count is not None
            assert count >= 14
        ratios = prometheus.query("service_cache:genai_cache_hits_per_lookup:ratio_rate15m offset 1w")
        assert ("embeddings", "rag") in {key[-2:] for key in ratios}

    def test_counters_tell_the_same_as_what_is_recorded_of_them(self, prometheus: servers.Prometheus) -> None:
        """Spend of a day, of the counters and as recorded; requests of an hour likewise."""
        now = int(time.time()) - 300
        raw = prometheus.value(f"sum(increase(instance_service_mode_part:genai_llm_cost_usd_total:sum[1d] @ {now}))")
        day = prometheus.value(f"sum(service:genai_llm_cost_usd:increase1d @ {now})")
        assert raw == pytest.approx(day, rel=0.02)
        workflows = prometheus.value(f"sum(increase(genai_workflow_duration_seconds_count[1h] @ {now})) / 3600")
        requests = prometheus.value(f"sum(avg_over_time(service:genai_requests:rate5m[1h] @ {now}))")
        assert workflows == pytest.approx(requests, rel=0.15)

    def test_there_are_no_gaps_at_the_steps_that_panels_ask_with(self, prometheus: servers.Prometheus) -> None:
        """A rate over a panel's interval at the default time ranges, and over a week, has a value at every step."""
        now = int(time.time()) - 300
        lookups = catalog.CACHE_LOOKUPS.metrics[0].name
        for name, window, range_, step, steps in (
            (lookups, "1m", "5h", "30s", 600),
            (lookups, "135s", "23h", "2m", 690),
            (lookups, "255s", "71h", "4m", 1065),
            (sparse(lookups), "3855s", "3d", "4m", 1079),
            (sparse(lookups), "4215s", "7d", "10m", 1007),
        ):
            counter = f"sum(rate({name}[{window}]))"
            found = prometheus.value(f"count_over_time(({counter})[{range_}:{step}] @ {now})")
            assert found is not None
            assert found >= steps, window

    def test_copies_tell_what_the_counters_tell(self, prometheus: servers.Prometheus) -> None:
        """Over three days, where panels change from one to the other; and they reach back a whole week."""
        now = int(time.time()) - 300
        name = "instance_service_mode_part:genai_llm_cost_usd_total:sum"
        fine, copies = (prometheus.value(f"sum(increase({each}[3d] @ {now}))") for each in (name, sparse(name)))
        assert copies == pytest.approx(fine, rel=0.005)
        assert prometheus.query(f"last_over_time({sparse(name)}[20m] offset 1w)")
        assert prometheus.query(f"{sparse(SUBJECTS)} offset 1w")

    def test_the_tour_can_be_drawn_of_it(self, prometheus: servers.Prometheus, tmp_path: Path) -> None:
        """The script that draws the pictures of docs/tour.md finds the week: two charts, each with a line."""
        script = REPOSITORY / "docs" / "tour_pictures.py"
        command = [sys.executable, script, "--prometheus", prometheus.url, "--only", "week", "--to", tmp_path]
        subprocess.run(command, check=True, timeout=60, capture_output=True)
        (drawn,) = tmp_path.iterdir()
        assert drawn.read_text().count("<polyline") == 2


class TestWrite:
    """Into which directories it writes, and what happens when it cannot."""

    def test_only_a_directory_without_data_is_new(self, tmp_path: Path) -> None:
        """What an interrupted run left does not count."""
        assert backfill.is_new(tmp_path / "none")
        assert backfill.is_new(tmp_path)
        (tmp_path / "history.unfinished").mkdir()
        assert backfill.is_new(tmp_path)
        (tmp_path / "wal").mkdir()
        assert not backfill.is_new(tmp_path)

    def test_a_promtool_that_fails_leaves_no_history(self, tmp_path: Path) -> None:
        """Its own words are told, and the next run may try again."""
        promtool = tmp_path / "promtool"
        promtool.write_text("#!/bin/sh\necho 'out of order' >&2\nexit 1\n")
        promtool.chmod(0o755)
        with pytest.raises(backfill.BackfillError, match="promtool: out of order"):
            backfill.write(tmp_path / "data", promtool, INSTANCE, report=lambda _: None)
        assert backfill.is_new(tmp_path / "data")

    def test_a_directory_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        """The message has the path and the reason."""
        (tmp_path / "file").write_text("")
        with pytest.raises(backfill.BackfillError, match=r"file.*Not a directory"):
            backfill.write(tmp_path / "file" / "data", Path("promtool"), INSTANCE, report=lambda _: None)
