"""Who is told of which alert, judged by Alertmanager's own tool; what Alertmanager does is in tests/notifications."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from known_series import known_series, labels_of
from rule_files import ALERTS

from genai_stack import REPOSITORY, binaries

CONFIG = REPOSITORY / "alertmanager" / "alertmanager.yml"
CONTENT: dict[str, Any] = yaml.safe_load(CONFIG.read_text())


def amtool(*arguments: str | Path) -> str:
    """Output of amtool, which must approve."""
    command = [binaries.require("amtool"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def receivers(**labels: str) -> list[str]:
    """Who is told of an alert with these labels, in the order of the routes."""
    pairs = [f"{name}={value}" for name, value in labels.items()]
    return amtool("config", "routes", "test", f"--config.file={CONFIG}", *pairs).strip().split(",")


def specified(severity: str, category: str) -> list[str]:
    """Who shall be told of an alert."""
    at_once = {"critical": "pagerduty-and-slack", "warning": "slack", "none": "dead-mans-switch"}
    return ["cost-email"] * (category == "cost") + [at_once[severity]]


def test_alertmanager_accepts_its_configuration() -> None:
    """Alertmanager would start with alertmanager.yml and finds the templates."""
    assert "1 templates" in amtool("check-config", CONFIG)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_reaches_those_who_shall_be_told(alert: str) -> None:
    """Critical ones page and are in Slack, warnings are in Slack, those on cost are mailed as well."""
    labels = ALERTS[alert].content["labels"]
    assert receivers(alertname=alert, **labels) == specified(labels["severity"], labels["category"])


def test_an_alert_of_an_unknown_severity_is_seen() -> None:
    """A rule of the user's own that nothing routes is in Slack rather than lost."""
    assert receivers(alertname="Own", severity="unheard-of") == ["slack"]


def test_only_the_dead_mans_switch_is_not_told_the_end() -> None:
    """Resolved messages go everywhere else; there one would count as a sign of life."""
    sent = {
        (receiver["name"], kind): config["send_resolved"]
        for receiver in CONTENT["receivers"]
        for kind, configs in receiver.items()
        if kind != "name"
        for config in configs
    }
    assert [where for where, resolved in sent.items() if not resolved] == [("dead-mans-switch", "webhook_configs")]


def test_planned_work_mutes_all_but_the_watchdog() -> None:
    """Each route can be muted by the one interval; only what must always arrive cannot."""
    unmuted = [
        route["receiver"]
        for route in CONTENT["route"]["routes"]
        if route.get("mute_time_intervals") != ["planned-work"]
    ]
    assert unmuted == ["dead-mans-switch"]


def test_the_example_of_planned_work_is_valid(tmp_path: Path) -> None:
    """What is commented out in the file works when it is put in."""
    text = CONFIG.read_text()
    begin, end = text.index("    # time_intervals:\n"), text.index("\nroute:")
    example = "".join(line.replace("    # ", "    ", 1) + "\n" for line in text[begin:end].splitlines() if line)
    edited = tmp_path / "alertmanager.yml"
    edited.write_text(text.replace("    time_intervals: []\n", "").replace(text[begin:end], example))
    (tmp_path / "templates").symlink_to(CONFIG.parent / "templates")
    assert len(yaml.safe_load(edited.read_text())["time_intervals"][0]["time_intervals"]) == 2
    amtool("check-config", edited)


def test_no_secret_is_in_the_file() -> None:
    """Whatever is secret is read from a file in the folder of secrets, and has an example."""
    examples = {path.name for path in (CONFIG.parent / "secrets.example").iterdir()}
    secrets = []
    for node in (CONTENT["global"], *(c for r in CONTENT["receivers"] for k, v in r.items() if k != "name" for c in v)):
        assert not {"api_url", "slack_api_url", "routing_key", "service_key", "url", "smtp_auth_password"} & set(node)
        secrets += [value for name, value in node.items() if name.endswith("_file")]
    assert {Path(secret).parent for secret in secrets} == {Path("/etc/alertmanager/secrets")}
    assert {Path(secret).name for secret in secrets} == examples - {"README.md"}


class TestInhibition:
    """Which alert silences which."""

    RULES: tuple[dict[str, Any], ...] = tuple(CONTENT["inhibit_rules"])

    @staticmethod
    def alerts(matchers: list[str]) -> list[str]:
        """Alerts that the matcher on the name takes."""
        _, _, names = matchers[0].partition('="') if '="' in matchers[0] else matchers[0].partition('=~"')
        return names.rstrip('"').split("|")

    @pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["name"]))
    def test_both_alerts_carry_the_labels_of_the_subject(self, rule: dict[str, Any]) -> None:
        """A label that both lack is equal, too: then an alert would silence those of other subjects."""
        known = known_series()
        for alert in [*self.alerts(rule["source_matchers"]), *self.alerts(rule["target_matchers"])]:
            # `monitor` is the external label of every alert; a target file may give its targets a label `service`.
            given = {"monitor"} | ({"service"} if alert == "GenAITargetDown" else set())
            assert set(rule["equal"]) <= labels_of(ALERTS[alert], known) | given, alert
        assert rule["equal"]

    @pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["name"]))
    def test_nothing_critical_is_silenced(self, rule: dict[str, Any]) -> None:
        """Only warnings are inhibited."""
        targets = self.alerts(rule["target_matchers"])
        assert {ALERTS[alert].content["labels"]["severity"] for alert in targets} == {"warning"}

    def test_each_critical_alert_on_a_threshold_silences_its_warning(self) -> None:
        """Where one quantity has a critical and a warning alert, whoever is paged is not told twice."""
        pairs = {
            (source, target)
            for rule in self.RULES
            for source in self.alerts(rule["source_matchers"])
            for target in self.alerts(rule["target_matchers"])
        }
        assert pairs == {
            ("GenAIHighErrorRate", "GenAIElevatedErrorRate"),
            ("GenAIVeryHighLatency", "GenAIHighLatency"),
            ("GenAIProviderDown", "GenAIRateLimited"),
            ("GenAICostSpike", "GenAIHighHourlyCost"),
            ("GenAICostSpike", "GenAIDailyBudgetProjected"),
            ("GenAICacheHitRateCollapsed", "GenAILowCacheHitRate"),
            ("GenAIGpuHot", "GenAIGpuThrottling"),
            ("GenAITargetMissing", "GenAINoTraffic"),
            ("GenAITargetDown", "GenAINoTraffic"),
        }
