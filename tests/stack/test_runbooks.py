"""The pages that alerts link to, in docs/alerts."""

import itertools
import json
import re
import subprocess
from pathlib import Path

import pytest
import rule_files
import yaml
from known_series import known_series
from rule_files import selected
from rule_labels import result_labels

from genai_metrics import catalog
from genai_stack import REPOSITORY, binaries

PAGES = sorted((REPOSITORY / "docs" / "alerts").glob("*.md"))
RULES = [rule.content for rule in rule_files.RULES]
ALERTS = [rule for rule in RULES if "alert" in rule]
EXAMPLES = ("service", "instance", "cache", "tenant", "pool", "tool", "model", "provider", "mode", "source", "gpu")
"""Labels whose value in a query is made up: nobody has a service of that name."""
SECTIONS = ["What it means", "What users notice", "How to confirm", "Causes", "What to do", "Tuning"]


def queries(text: str) -> list[str]:
    """PromQL of a page, in blocks and within sentences."""
    blocks: list[str] = re.findall(r"```promql\n(.*?)```", text, re.DOTALL)
    inline: list[str] = re.findall(r"`([^`\n]*\w\([^`\n]*\))`", text)
    return [*blocks, *inline]


def known_names() -> set[str]:
    """Families of the catalogue, their series, and recorded series."""
    specs = itertools.chain(catalog.EXPORTER_METRICS, *(kind.metrics for kind in catalog.BLOCK_KINDS))
    return {spec.name for spec in specs} | set(known_series())


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    """The page is called like the alert, and is the one that the alert links to."""
    assert [page.stem for page in PAGES] == sorted({rule["alert"] for rule in ALERTS})
    for rule in ALERTS:
        assert (REPOSITORY / rule["annotations"]["runbook_url"]).is_file()


def test_every_alert_leads_to_a_dashboard() -> None:
    """Whoever opens a link of an alert finds a dashboard."""
    uids = {json.loads(path.read_text())["uid"] for path in (REPOSITORY / "grafana" / "dashboards").glob("*.json")}
    leads_to = {rule["alert"]: rule["annotations"]["dashboard_url"].split("/d/")[1].split("?")[0] for rule in ALERTS}
    assert {alert: uid for alert, uid in leads_to.items() if uid not in uids} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
class TestPage:
    """What somebody who was woken finds."""

    def test_has_all_sections_in_order(self, page: Path) -> None:
        """All pages are read alike."""
        titles = re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE)
        assert [title.partition(",")[0] for title in titles] == SECTIONS
        assert page.read_text().startswith(f"# {page.stem}\n")

    def test_says_first_what_to_do_first(self, page: Path) -> None:
        """A box between the summary and the sections: what to do before all reading."""
        lead = page.read_text().partition("\n## ")[0]
        assert re.search(r"\n\n> \*\*First:\*\* \w[^\n]*(\n> [^\n]+)?\n\Z", lead)

    def test_says_which_labels_are_made_up(self, page: Path) -> None:
        """Before the first query, all of them: pasted as they are, such queries find nothing."""
        text = page.read_text()
        matchers = re.findall(rf'[{{, ]((?:{"|".join(EXAMPLES)})="[^"]+")', " ".join(queries(text)))
        made_up = {matcher for matcher in matchers if not matcher.endswith('="__other__"')}
        confirm = text.partition("## How to confirm\n\n")[2]
        said = re.match(
            r"In these queries, put your own values in the place of (.*?); the [\w' ]+ says? which\.\n", confirm
        )
        assert set(re.findall(r'`(\w+="[^"]+")`', said[1] if said else "")) == made_up

    def test_queries_can_be_pasted(self, page: Path, tmp_path: Path) -> None:
        """Prometheus accepts the syntax of every query; there is at least one."""
        rules = [{"record": f"query:number:{i}", "expr": expr} for i, expr in enumerate(queries(page.read_text()))]
        assert rules
        file = tmp_path / "queries.yml"
        file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
        done = subprocess.run(
            [binaries.require("promtool"), "check", "rules", file],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def test_queries_ask_for_what_there_is(self, page: Path) -> None:
        """Labels exist and can match, in each query of series of ours and those of others that rules use."""
        for query in queries(page.read_text()):
            if selected(query) <= known_series().keys():
                result_labels(query, known_series())

    def test_names_exist(self, page: Path) -> None:
        """Each metric of ours, in queries and in sentences, is in the catalogue or recorded."""
        mentioned = set(re.findall(r"\b[a-z_]+:[a-z0-9_]+:[a-z0-9_]+|\bgenai_[a-z_]+", page.read_text()))
        parts = {name for name in mentioned if name.endswith("_")} | {"genai_exporter", "genai_metrics"}
        assert mentioned - parts - known_names() == set()

    def test_files_exist(self, page: Path) -> None:
        """Each file of the repository that the page names is there."""
        named = re.findall(r"`((?:prometheus|alertmanager|grafana)/[\w./-]+\.\w+)`", page.read_text())
        assert [name for name in named if not (REPOSITORY / name).is_file()] == []
