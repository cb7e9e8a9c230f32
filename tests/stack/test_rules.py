"""The configuration of Prometheus and Alertmanager, judged by their own tools."""

import subprocess
from pathlib import Path

import pytest

from genai_stack import REPOSITORY, binaries

PROMETHEUS = REPOSITORY / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))


def judge(program: str, *arguments: str | Path) -> str:
    """Output of a tool that must approve."""
    done = subprocess.run(
        [binaries.require(program), *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_prometheus_accepts_its_configuration() -> None:
    """Prometheus would start with prometheus.yml, and finds the rules."""
    assert f"{len(RULES)} rule files found" in judge("promtool", "check", "config", PROMETHEUS / "prometheus.yml")


def test_rules_pass_the_linter() -> None:
    """No rule has a problem that promtool knows of."""
    judge("promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULES)


@pytest.mark.parametrize("tests", sorted(Path(__file__).parent.glob("rules*_test.yml")), ids=lambda path: path.stem)
def test_rules_do_what_they_promise(tests: Path) -> None:
    """The unit tests of recorded series pass; those of alerts are in alert_cases."""
    judge("promtool", "test", "rules", tests)


def test_alertmanager_accepts_its_configuration() -> None:
    """Alertmanager would start with alertmanager.yml."""
    judge("amtool", "check-config", REPOSITORY / "alertmanager" / "alertmanager.yml")


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("alertname=Watchdog severity=none", "watchdog"),
        ("alertname=GenAIHighErrorRate severity=critical", "critical"),
        ("alertname=Other severity=warning", "warning"),
        ("alertname=Other severity=unheard-of", "unrouted"),
    ],
)
def test_alerts_reach_their_receiver(labels: str, receiver: str) -> None:
    """Alertmanager routes by severity, the Watchdog by name."""
    config = REPOSITORY / "alertmanager" / "alertmanager.yml"
    arguments = ("config", "routes", "test", f"--config.file={config}", f"--verify.receivers={receiver}")
    assert judge("amtool", *arguments, *labels.split()).splitlines()[0] == receiver
