"""Messages at their limits: many alerts at once, hostile label values, rules of others without our annotations."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requirements
import yaml

from genai_stack import REPOSITORY
from genai_stack.binaries import require

FOLDER = REPOSITORY / "alertmanager"
NASTY = """<!channel> & <b>"x"</b> \\ '{{ . }}' a+b%20#?"""


def alert(number: int, status: str = "firing", **annotations: str) -> dict[str, Any]:
    """One of our alerts, with a hostile service."""
    ours = {
        "summary": "Too many requests fail.",
        "description": f"{number} % of the workflows of service {NASTY} failed.",
        "runbook_url": "docs/alerts/GenAIHighErrorRate.md",
        "dashboard_url": "/d/genai-performance?var-service=a+b",
    }
    return {
        "status": status,
        "labels": {"alertname": "GenAIHighErrorRate", "service": NASTY, "mode": str(number)},
        "annotations": annotations or ours,
        "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": "2026-01-01T00:12:30Z",
    }


def notification(*alerts: dict[str, Any], **labels: str) -> dict[str, Any]:
    """What templates are given."""
    group = {"alertname": "GenAIHighErrorRate", "service": NASTY}
    return {
        "receiver": "any",
        "status": "firing" if any(one["status"] == "firing" for one in alerts) else "resolved",
        "groupLabels": group,
        "commonLabels": {**group, "severity": "critical", "category": "performance", **labels},
        "commonAnnotations": {},
        "externalURL": "http://127.0.0.1:9093",
        "alerts": list(alerts),
    }


def rendered(folder: Path, text: str, data: dict[str, Any], kind: str = "text") -> str:
    """What Alertmanager makes of a template."""
    file = folder / "data.json"
    file.write_text(json.dumps(data))
    command = [
        *(str(require("amtool")), "template", "render", f"--template.glob={FOLDER}/templates/*.tmpl"),
        *(f"--template.data={file}", f"--template.type={kind}", f"--template.text={text}"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def slack(folder: Path, data: dict[str, Any]) -> dict[str, Any]:
    """Attachment as the receiver makes it."""
    config = yaml.safe_load((FOLDER / "alertmanager.yml").read_text())
    (receiver,) = next(one["slack_configs"] for one in config["receivers"] if one["name"] == "slack")
    names = ("color", "title", "title_link", "text", "fallback", "footer")
    return {name: rendered(folder, receiver[name], data) for name in names}


@pytest.mark.parametrize("count", [1, 500])
def test_slack_takes_it(tmp_path: Path, count: int) -> None:
    """However many alerts there are, and whatever is in them, nobody is called and nothing is cut."""
    alerts = [alert(number, "firing" if number % 2 else "resolved") for number in range(1, count + 1)]
    attachment = slack(tmp_path, notification(*alerts))
    assert list(requirements.slack({"attachments": [attachment]})) == []
    assert "&lt;!channel&gt;" in attachment["title"]
    if count == 500:
        assert "and more: 250 fire in all." in attachment["text"]
        assert "(500 alerts)" in attachment["title"]


def test_what_has_ended_says_so(tmp_path: Path) -> None:
    """Green, with how long it took, and without a silence that nobody needs."""
    attachment = slack(tmp_path, notification(alert(1, "resolved")))
    assert attachment["color"] == "good"
    assert attachment["title"].startswith("RESOLVED")
    assert attachment["footer"].endswith("for 12m 30s")
    assert "Silence" not in attachment["text"]


def test_links_lead_where_they_shall(tmp_path: Path) -> None:
    """Each label value comes out of the silence's address as it was; whole addresses in rules are left alone."""
    from urllib.parse import unquote

    link = rendered(tmp_path, '{{ template "genai.link.silence" . }}', notification(alert(1)))
    quoted = NASTY.replace("\\", "\\\\").replace('"', '\\"')
    assert f'service="{quoted}"' in unquote(link)
    own = alert(1, runbook_url="https://wiki.example.com/x", dashboard_url="https://grafana.example.com/d/x")
    for name, address in own["annotations"].items():
        template = name.removesuffix("_url")
        text = f'{{{{ template "genai.link.{template}" (index .Alerts 0) }}}}'
        assert rendered(tmp_path, text, notification(own)) == address


def test_alerts_of_others_are_readable(tmp_path: Path) -> None:
    """Without our annotations the name and the labels say what there is to say; there are no empty links."""
    attachment = slack(tmp_path, notification(alert(1, other="x")))
    assert list(requirements.slack({"attachments": [attachment]})) == []
    assert attachment["title"].endswith("GenAIHighErrorRate")
    assert "mode=1" in attachment["text"]
    assert "Runbook" not in attachment["text"]


@pytest.mark.parametrize(
    ("severity", "told"),
    [("critical", "critical"), ("warning", "warning"), ("info", "info"), ("none", "info"), ("page", "error")],
)
def test_pagerduty_knows_every_severity(tmp_path: Path, severity: str, told: str) -> None:
    """What it does not know would be refused."""
    text = '{{ template "genai.pagerduty.severity" . }}'
    assert rendered(tmp_path, text, notification(alert(1), severity=severity)) == told


def test_pagerduty_details_have_an_end(tmp_path: Path) -> None:
    """Far below what an event may have, with 500 alerts."""
    data = notification(*(alert(number) for number in range(500)))
    text = rendered(tmp_path, '{{ template "genai.pagerduty.descriptions" .Alerts.Firing }}', data)
    assert len(text) < requirements.PAGERDUTY_BYTES / 10
    assert "… and more: 500 in all." in text


def test_mail_is_text_whatever_labels_contain(tmp_path: Path) -> None:
    """Nothing of a label becomes HTML; links lead to the same places as in the text."""
    html = rendered(tmp_path, '{{ template "genai.email.html" . }}', notification(alert(1)), "html")
    assert '<b>"x"</b>' not in html
    assert "&lt;!channel&gt;" in html
    text = rendered(tmp_path, '{{ template "genai.email.text" . }}', notification(alert(1)))
    assert NASTY in text
    for address in ("http://127.0.0.1:8025/docs/alerts/GenAIHighErrorRate.md", "/d/genai-performance?var-service=a"):
        assert address in html
        assert address in text
