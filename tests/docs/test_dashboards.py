"""Tests that docs/dashboards.md speaks of panels that there are."""

import json
import re

from genai_stack import REPOSITORY

PAGE = (REPOSITORY / "docs" / "dashboards.md").read_text()


def titles(topic: str) -> set[str]:
    """Titles of a dashboard's panels and headings."""
    content = json.loads((REPOSITORY / "grafana" / "dashboards" / f"{topic}.json").read_text())
    return {panel["title"] for panel in content["panels"]}


def test_questions_lead_to_panels() -> None:
    """Each question names a dashboard and panels of it."""
    answers = re.findall(r"^\|[^|]*\|[^|]*\?[^|]*\| (.+) \|$", PAGE, re.M)
    assert len(answers) > 10
    for place in (place for answer in answers for place in answer.split(";")):
        topic = place.split(",")[0].strip().lower()
        assert set(re.findall(r"`([^`]+)`", place)) - {"Last 30 days"} <= titles(topic), place


def test_headings_are_explained() -> None:
    """Each heading of a dashboard is a point of its section."""
    for topic in ("performance", "cost", "cache", "health"):
        content = json.loads((REPOSITORY / "grafana" / "dashboards" / f"{topic}.json").read_text())
        section = re.split(r"^## ", PAGE, flags=re.M)
        (text,) = [part for part in section if part.startswith(topic.capitalize() + "\n")]
        bold = {words.rstrip("?:") for words in re.findall(r"\*\*([^*]+)\*\*", text)}
        headings = {panel["title"].rstrip("?") for panel in content["panels"] if panel["type"] == "row"}
        assert headings <= bold
