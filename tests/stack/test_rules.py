"""The configuration of Prometheus, judged by its own tools."""

import subprocess
from pathlib import Path

import pytest
from rule_files import FILES as RULES

from genai_stack import REPOSITORY, binaries

PROMETHEUS = REPOSITORY / "prometheus"


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
