"""From a fault to the people: real Prometheus, real Alertmanager, strict and unreliable receivers.

One stack for all, in which faults of several services happen side by side: errors, latency, a jump in spending, worse
answers, an exporter that is killed, a provider that is down. See ``hurried`` for what is divided and what is not.
"""

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
import yaml
from feeding import Feed, Series, series, served, timed
from hurried import (
    SPEED,
    Alertmanager,
    alertmanager,
    hurried,
    prometheus,
    write_alertmanager,
    write_prometheus,
)
from servers import Exporter, Prometheus, end, exporter, free_port, get, wait_for
from stand_ins import Key, Services, services

from genai_exporter.durations import prometheus_seconds
from genai_stack import REPOSITORY, notifications

WEEK, HOUR = 7 * 86400.0, 3600.0
PATIENCE = 120.0


def workflows(service: str, outcome: str, le: str) -> Series:
    """Bucket of workflows' durations."""
    labels = {"service": service, "mode": "rag", "outcome": outcome, "cache": "miss"}
    return series("genai_workflow_duration_seconds_bucket", **labels, le=le)


def runs(service: str, count: float, outcome: str = "success", slow: bool = False) -> dict[Series, float]:
    """That many more workflows: of 0.5 s, or of 15."""
    labels = {"service": service, "mode": "rag", "outcome": outcome, "cache": "miss"}
    bounds = {"0.5": 0 if slow else count, "10.0": 0 if slow else count, "20.0": count, "+Inf": count}
    return {
        **{workflows(service, outcome, le): more for le, more in bounds.items()},
        series("genai_workflow_duration_seconds_count", **labels): count,
        series("genai_workflow_duration_seconds_sum", **labels): count * (15.0 if slow else 0.5),
    }


def calls(service: str, provider: str, outcome: str, count: float) -> dict[Series, float]:
    """That many more LLM calls."""
    labels = {"service": service, "mode": "rag", "provider": provider, "model": "m", "operation": "chat"}
    return {series("genai_llm_calls_total", **labels, outcome=outcome): count}


def scores(service: str, count: float, score: float) -> dict[Series, float]:
    """That many more judgements of answers."""
    labels = {"service": service, "mode": "rag", "evaluator": "judge"}
    return {
        series("genai_quality_score_count", **labels): count,
        series("genai_quality_score_sum", **labels): count * score,
    }


def cost(service: str, dollars: float) -> dict[Series, float]:
    """That much more spent."""
    labels = {"service": service, "mode": "rag", "provider": "openai", "model": "m", "operation": "chat"}
    return {series("genai_llm_cost_usd_total", **labels, outcome="success", part="output"): dollars}


@dataclass
class Stack:
    """What runs, and when which fault began and ended."""

    feed: Feed
    database: Prometheus
    alertmanager: Alertmanager
    people: Services
    exporter: Exporter
    began: dict[tuple[str, str], float] = field(default_factory=dict)

    def alerts(self, query: str) -> list[dict[str, object]]:
        """Alerts that Alertmanager has, with what it does to them."""
        found: list[dict[str, object]] = json.loads(get(f"{self.alertmanager.url}/api/v2/alerts?{query}"))
        return found

    def firing(self, alert: str, service: str) -> bool:
        """Whether Prometheus says so."""
        return bool(self.database.query(f'ALERTS{{alertname="{alert}",service="{service}",alertstate="firing"}}'))

    def wait_for(self, *keys: Key) -> None:
        """Wait until these have been taken."""
        wait_for(
            f"{keys}",
            lambda: all(key in self.people.taken() for key in keys),
            PATIENCE,
        )


def history(feed: Feed, now: float) -> None:
    """What the services did before the test."""
    quiet = 40 * 60.0
    for service in ("errors", "moderate", "slow", "silenced", "late"):
        for key, share in runs(service, 1.0).items():
            feed.counter(key, share, quiet, now)
        feed.add(runs(service, 0, "error"))
    for provider in ("openai", "anthropic"):
        for key in calls("providers", provider, "success", 1):
            # The last success of the provider that will fail is longer ago than the minute that the alert looks at.
            feed.counter(key, 1.0, quiet, now - (120 if provider == "anthropic" else 0))
        feed.add(calls("providers", provider, "error", 0))
    for service, jump in (("spike", {}), ("spiked", {10 * 60 - 90.0: 2.2})):
        for key in cost(service, 1):
            feed.counter(key, 1 / HOUR, 7 * HOUR, now, jump)
        labels = {
            "job": "genai-exporter",
            "instance": feed.instance,
            "service": service,
            "mode": "rag",
            "part": "output",
        }
        summed = series("instance_service_mode_part:genai_llm_cost_usd_total:sum", **labels)
        feed.counter(summed, 1 / HOUR, 7 * HOUR, now, jump, scraped=False)
        usual = series("service:genai_llm_cost_usd:rate6h", service=service)
        feed.recorded(usual, 1 / HOUR, now - 20 * 60, now)
    for key, each in scores("worse", 1 / 15, 0.95).items():
        feed.counter(key, each, quiet, now)
    for name, value in (("genai_quality_score:mean_rate30m", 0.95), ("genai_quality_scores:rate30m", 1 / 15)):
        key = series(f"service_mode:{name}", service="worse", mode="rag")
        feed.recorded(key, value, now - WEEK - 2 * HOUR, now - WEEK + HOUR)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything running, with a quiet past."""
    folder = tmp_path_factory.mktemp("arriving")
    feed = Feed()
    (folder / "prometheus").mkdir()
    (folder / "metrics").mkdir(mode=0o700)
    options = ("--no-collector.host", "--no-collector.gpu")
    with services() as people, served(feed), exporter(folder / "metrics", *options) as other:
        config = write_alertmanager(folder / "secrets" / "alertmanager", notifications.Inbox(people.url, people.smtp))
        with alertmanager(folder, config) as manager:
            targets = {
                "exporter": [feed.instance, f"127.0.0.1:{other.port}"],
                "alertmanager": [f"127.0.0.1:{manager.port}"],
            }
            write_prometheus(folder / "prometheus", targets)
            history(feed, time.time())
            feed.write_history(folder / "prometheus" / "data")
            with prometheus(folder / "prometheus", free_port()) as database:
                up = 'sum(up{job="genai-exporter"})'
                wait_for("both targets", lambda: database.value(up) == 2)
                yield Stack(feed, database, manager, people, other)


def shipped_for(alert: str) -> float:
    """Seconds of ``for`` as it is shipped."""
    for path in (REPOSITORY / "prometheus" / "rules").glob("*.yml"):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                if rule.get("alert") == alert:
                    return prometheus_seconds(rule.get("for", "0s"))
    raise AssertionError(alert)


def both(alert: str, service: str, status: str = "firing") -> list[Key]:
    """Where a critical alert is told."""
    return [Key(channel, alert, service, status) for channel in ("slack", "pagerduty")]  # type: ignore[arg-type]


def slack(alert: str, service: str, status: str = "firing") -> Key:
    """Where a warning is told."""
    return Key("slack", alert, service, status)  # type: ignore[arg-type]


class TestArriving:
    """One story, told in this order."""

    def test_each_fault_is_told(self, stack: Stack) -> None:
        """All at once; each reaches everybody who shall be told, although each of them refuses twice at first."""
        _silence(stack, "silenced")
        feed, began = stack.feed, stack.began
        began["GenAITargetDown", ""] = timed(lambda: end(stack.exporter.process, 9))
        now = timed(
            lambda: feed.add(
                {
                    **runs("errors", 300, "error"),
                    **runs("moderate", 600),
                    **runs("moderate", 25, "error"),
                    **runs("slow", 300, slow=True),
                    **runs("silenced", 300, "error"),
                    **cost("spike", 2.2),
                    **scores("worse", 600, 0.79),
                    **calls("providers", "anthropic", "error", 10),
                    **calls("providers", "openai", "success", 2000),
                }
            )
        )
        for alert, service in (
            ("GenAIHighErrorRate", "errors"),
            ("GenAIElevatedErrorRate", "moderate"),
            ("GenAIHighLatency", "slow"),
            ("GenAICostSpike", "spike"),
            ("GenAIQualityDrop", "worse"),
            ("GenAIProviderDown", "providers"),
        ):
            began[alert, service] = now
        stack.wait_for(
            *both("GenAIHighErrorRate", "errors"),
            *both("GenAIProviderDown", "providers"),
            *both("GenAITargetDown", ""),
            *both("GenAICostSpike", "spike"),
            *both("GenAICostSpike", "spiked"),
            Key("mail", "GenAICostSpike", "spike", "firing"),
            Key("mail", "GenAICostSpike", "spiked", "firing"),
            slack("GenAIHighLatency", "slow"),
            slack("GenAIElevatedErrorRate", "moderate"),
        )

    def test_the_lesser_alert_of_the_same_subject_is_inhibited(self, stack: Stack) -> None:
        """It fires, but nobody is told; that of another service, which also fails, was told."""
        query = "filter=alertname=GenAIElevatedErrorRate&filter=service=errors"
        wait_for("the inhibited alert", lambda: stack.alerts(query) or None, PATIENCE)
        assert stack.alerts(query)[0]["status"]["state"] == "suppressed"  # type: ignore[index]
        assert stack.alerts(query)[0]["status"]["inhibitedBy"]  # type: ignore[index]
        assert slack("GenAIElevatedErrorRate", "errors") not in stack.people.told

    def test_a_silence_holds(self, stack: Stack) -> None:
        """The alert fires, and Alertmanager knows that nobody wants to hear of it."""
        query = "filter=alertname=GenAIHighErrorRate&filter=service=silenced"
        wait_for("the silenced alert", lambda: stack.alerts(query) or None, PATIENCE)
        assert stack.alerts(query)[0]["status"]["silencedBy"]  # type: ignore[index]
        assert not {key for key in stack.people.told if key.service == "silenced"}

    def test_an_alertmanager_that_restarts_loses_nothing(self, stack: Stack) -> None:
        """What began and what ended while it was away is told, and what was told before is not told again."""
        before = stack.people.taken()
        stack.alertmanager.stop()
        stack.feed.add({**runs("late", 300, "error"), **runs("slow", 20_000)})
        wait_for("the new alert", lambda: stack.firing("GenAIHighErrorRate", "late"), PATIENCE)
        wait_for("the end of the other", lambda: not stack.firing("GenAIHighLatency", "slow"), PATIENCE)
        stack.alertmanager.start()
        stack.wait_for(*both("GenAIHighErrorRate", "late"), slack("GenAIHighLatency", "slow", "resolved"))
        after = stack.people.taken()
        assert {key: after[key] for key in before} == before

    def test_each_end_is_told(self, stack: Stack) -> None:
        """Once what was wrong is outweighed, all who were told of it are told so."""
        stack.wait_for(slack("GenAIQualityDrop", "worse"))
        stack.feed.add(
            {
                **runs("errors", 50_000),
                **runs("moderate", 50_000),
                **runs("silenced", 50_000),
                **runs("late", 50_000),
                **scores("worse", 50_000, 0.95),
                **calls("providers", "anthropic", "success", 10),
            }
        )
        stack.exporter.start()
        stack.wait_for(
            *both("GenAIHighErrorRate", "errors", "resolved"),
            *both("GenAIHighErrorRate", "late", "resolved"),
            *both("GenAIProviderDown", "providers", "resolved"),
            *both("GenAITargetDown", "", "resolved"),
            *both("GenAICostSpike", "spiked", "resolved"),
            Key("mail", "GenAICostSpike", "spiked", "resolved"),
            slack("GenAIElevatedErrorRate", "moderate", "resolved"),
            slack("GenAIQualityDrop", "worse", "resolved"),
        )

    def test_each_was_told_once_and_nothing_else_was(self, stack: Stack) -> None:
        """After two refusals each notification was taken exactly once; there was none that nobody asked for."""
        assert {key: count for key, count in stack.people.taken().items() if count != 1} == {}
        assert {key: told.attempts for key, told in stack.people.told.items() if told.attempts != 3} == {}
        told = {(key.alert, key.service) for key in stack.people.told}
        # The last is told because Slack's refusals count as failures. As shipped, `for` outlasts a single one.
        late = {("GenAICostSpike", "spiked"), ("GenAIHighErrorRate", "late"), ("AlertmanagerNotificationsFailing", "")}
        assert told == {*stack.began, *late}
        assert len(stack.people.heartbeats) > 10

    def test_every_message_was_as_its_service_wants_it(self, stack: Stack) -> None:
        """Required fields and limits; and an incident is ended under the key that it was opened with."""
        assert stack.people.complaints == []
        keys: dict[tuple[str, str], set[str]] = {}
        for key, told in stack.people.told.items():
            if key.channel == "pagerduty":
                keys.setdefault((key.alert, key.service), set()).update(body["dedup_key"] for body in told.bodies)
        assert {subject: len(found) for subject, found in keys.items() if len(found) != 1} == {}
        assert len(set.union(*keys.values())) == len(keys)

    def test_messages_say_what_a_person_needs(self, stack: Stack) -> None:
        """Value, threshold, and links to runbook, dashboard and silence."""
        (body,) = stack.people.told[slack("GenAIHighErrorRate", "errors")].bodies
        (attachment,) = body["attachments"]
        assert attachment["title"] == "CRITICAL errors: Too many requests fail"
        assert attachment["text"].startswith("5")
        assert (
            "of the workflows of service errors, mode rag, failed over the last 5 minutes (threshold: 5%)."
            in (attachment["text"])
        )
        for name in ("Runbook", "Dashboard", "Silence"):
            assert f"|{name}>" in attachment["text"]
        (event,) = stack.people.told[both("GenAIProviderDown", "providers")[1]].bodies
        assert event["payload"]["severity"] == "critical"
        assert event["payload"]["component"] == "providers"
        assert event["payload"]["group"] == "performance"
        assert [link["text"] for link in event["links"]] == ["Runbook", "Dashboard", "Silence"]
        (mail,) = stack.people.told[Key("mail", "GenAICostSpike", "spike", "firing")].bodies
        assert str(mail["Subject"]) == "CRITICAL spike: Spending has jumped"

    def test_how_long_it_took(self, stack: Stack, record_property: Callable[[str, object], None]) -> None:
        """Tells the time from each fault to the first attempt to tell of it, as it would be at the shipped intervals.

        What the machine itself takes is multiplied as well, so the figures are upper bounds.
        """
        rows = []
        for (alert, service), began in stack.began.items():
            first = min(told.first for key, told in stack.people.told.items() if key[1:] == (alert, service, "firing"))
            rows.append((alert, shipped_for(alert), (first - began) * SPEED))
        title = "Seconds from a fault to its first notification, at the shipped intervals"
        for alert, pending, took in rows:
            figures = {"for": pending, "took": took, "more than for": took - pending}
            record_property("row", (title, {"alert": alert} | {name: f"{each:.0f}" for name, each in figures.items()}))
        assert all(took >= pending for _, pending, took in rows)
        assert prometheus_seconds(hurried("5m")) == 300 / SPEED


def _silence(stack: Stack, service: str) -> None:
    """Silence a service for an hour, as the page does it."""
    matcher = {"name": "service", "value": service, "isRegex": False, "isEqual": True}
    begin, over = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + s)) for s in (0, 3600))
    body = {"matchers": [matcher], "startsAt": begin, "endsAt": over, "createdBy": "test", "comment": "planned"}
    request = urllib.request.Request(
        f"{stack.alertmanager.url}/api/v2/silences",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
