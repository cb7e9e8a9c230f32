"""The tour shows what `make up` prints and what the demo can do; its pictures are whole."""

import re
import xml.etree.ElementTree as ET

import pytest

from genai_stack import REPOSITORY, places, ports
from rag_service.faults import CATALOGUE

PAGE = (REPOSITORY / "docs" / "tour.md").read_text()
PICTURES = re.findall(r"\]\((images/[\w-]+\.svg)\)", PAGE)
DRAWN = "{http://www.w3.org/2000/svg}"


def test_the_output_is_that_of_make_up() -> None:
    """Each place under its usual address, and the suggested fault."""
    lines = places.lines(
        lambda name: f"http://127.0.0.1:{ports.DEFAULT_PORTS[name]}/", grafana=True, demo=True, inbox=True
    )
    assert "\n".join(lines) in PAGE
    assert places.next_step("").rpartition("/")[2] in PAGE


def test_the_faults_exist_and_raise_the_alert_that_is_shown() -> None:
    """Those of the commands and those that the text recommends."""
    named = re.findall(r"demo fault (\w+)", PAGE) + re.findall(r"`(\w+)`, (?:after|which)", PAGE)
    assert {"latency", "worker_killed", "cost_spike"} == set(named) <= set(CATALOGUE)
    assert "GenAIHighLatency" in CATALOGUE["latency"].alerts


@pytest.mark.parametrize("picture", PICTURES)
def test_pictures_are_whole(picture: str) -> None:
    """They can be read, have a title, and no address or path of the machine that drew them."""
    text = (REPOSITORY / "docs" / picture).read_text()
    root = ET.fromstring(text)
    assert root.findtext(f"{DRAWN}title")
    assert not re.search(r"127\.0\.0\.1|/home/|/tmp/", text)
    lines = root.findall(f".//{DRAWN}polyline")
    assert len(lines) >= 2 or "notification" in text


def test_every_picture_is_in_the_page() -> None:
    """None is left over."""
    assert {f"images/{path.name}" for path in (REPOSITORY / "docs" / "images").glob("tour-*")} == set(PICTURES)
