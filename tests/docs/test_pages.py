"""Tests of what pages for users say about the repository: links, ports, volumes, commands."""

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from genai_stack import REPOSITORY, __main__, ports
from inbox import documents

PAGES = sorted(
    path
    for folder in ("", "docs", "docs/alerts", "examples/*")
    for path in REPOSITORY.glob(f"{folder}/*.md" if folder else "*.md")
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file or folder that is there."""
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_to_sections_lead_there(page: Path) -> None:
    """Each link with a ``#`` names a heading of the page that it leads to."""
    links = re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", page.read_text())
    missed = []
    for name, section in links:
        target = (page.parent / name) if name else page
        headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
        missed += [] if section in {documents.anchor(heading.replace("`", "")) for heading in headings} else [section]
    assert missed == []


def test_every_page_can_be_reached() -> None:
    """Each page of docs is linked from the README, those of alerts as a folder."""
    linked = set(re.findall(r"\]\((docs/[^)#\s]+)\)", (REPOSITORY / "README.md").read_text()))
    assert linked == {f"docs/{path.name}" for path in (REPOSITORY / "docs").glob("*.md")} | {"docs/alerts"}


class TestStack:
    """docs/stack.md says what ``make up`` does."""

    PAGE = (REPOSITORY / "docs" / "stack.md").read_text()

    def test_addresses(self) -> None:
        """Each server is there with its port."""
        rows = dict(re.findall(r"^\| (\w+) \| <http://127\.0\.0\.1:(\d+)/>", self.PAGE, re.MULTILINE))
        assert {name.lower(): int(port) for name, port in rows.items()} == ports.PAGES

    def test_volumes(self) -> None:
        """Each volume of Compose is there with its full name."""
        project = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
        assert {f"{project['name']}_{volume}" for volume in project["volumes"]} == set(
            re.findall(r"`(genai_(?!llm|exporter)\w+)`", self.PAGE)
        )

    def test_options(self) -> None:
        """Each option that the page gives to ``make up`` exists."""
        help_text = CliRunner().invoke(__main__.main, ["up", "--help"]).output
        given = re.findall(r'ARGS="(--[\w-]+)', self.PAGE) + re.findall(r"`(--port-\w+) ", self.PAGE)
        assert len(given) == 5
        assert [option for option in given if option not in help_text] == []
