"""What Grafana reads when it starts, held against Prometheus's configuration and both ways of running the stack."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from genai_stack import REPOSITORY, binaries, native, ports
from genai_stack.layout import Layout

FOLDER = REPOSITORY / "grafana" / "provisioning"
SOURCES = {
    source["type"]: source
    for source in yaml.safe_load((FOLDER / "datasources" / "prometheus.yml").read_text())["datasources"]
}
(PROVIDER,) = yaml.safe_load((FOLDER / "dashboards" / "genai.yml").read_text())["providers"]


@pytest.fixture
def environments(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Environment variables of Grafana, with Docker Compose and without."""
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]["grafana"]
    layout = Layout(tmp_path, ports.DEFAULT_PORTS)
    service = native.grafana(layout, Path("/usr/sbin/grafana"), Path("/usr/share/grafana"))
    return {"compose": compose["environment"], "native": dict(service.env)}


def test_time_interval_is_the_scrape_interval() -> None:
    """$__rate_interval is right only when the data source knows how often Prometheus scrapes."""
    scrape = yaml.safe_load((REPOSITORY / "prometheus" / "prometheus.yml").read_text())["global"]
    assert SOURCES["prometheus"]["jsonData"]["timeInterval"] == scrape["scrape_interval"]


def test_prometheus_is_what_it_says() -> None:
    """Grafana uses what the oldest Prometheus can do that we accept, and shows rules without owning them."""
    source = SOURCES["prometheus"]
    oldest = ".".join(map(str, binaries.PROGRAMS["prometheus"].oldest))
    assert source["uid"] == "genai-prometheus"
    assert source["isDefault"] is True
    assert source["jsonData"]["prometheusType"] == "Prometheus"
    assert source["jsonData"]["prometheusVersion"].startswith(f"{oldest}.")
    assert source["jsonData"]["manageAlerts"] is False
    assert source["jsonData"]["alertmanagerUid"] == SOURCES["alertmanager"]["uid"]


def test_exemplars_lead_to_their_trace() -> None:
    """The label is the one that our exemplars have; `$$` keeps Grafana from taking the id for a variable of its own."""
    (destination,) = SOURCES["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert destination["name"] == "trace_id"
    assert destination["url"].endswith("$${__value.raw}")


def test_alertmanager_is_prometheus_own() -> None:
    """Alerts have one owner: Grafana sends none there."""
    assert SOURCES["alertmanager"]["jsonData"] == {"implementation": "prometheus", "handleGrafanaManagedAlerts": False}


def test_dashboards_cannot_be_changed_in_the_browser() -> None:
    """They are files; a change there would be lost at the next start."""
    assert (PROVIDER["folder"], PROVIDER["type"]) == ("GenAI", "file")
    assert PROVIDER["allowUiUpdates"] is False
    assert PROVIDER["disableDeletion"] is True
    assert all(source["editable"] is False for source in SOURCES.values())


def test_every_variable_is_set_in_both_worlds(environments: dict[str, dict[str, Any]]) -> None:
    """Whatever the provisioning reads from the environment is set by Compose and by a native run."""
    read = json.dumps([yaml.safe_load(path.read_text()) for path in FOLDER.rglob("*.yml")])
    used = set(re.findall(r"(?<!\$)\$([A-Z_]+)", read))
    assert used == {"GENAI_PROMETHEUS_URL", "GENAI_ALERTMANAGER_URL", "GENAI_TRACES_URL", "GENAI_DASHBOARDS"}
    for environment in environments.values():
        assert used <= set(environment)


def test_home_is_the_performance_dashboard(environments: dict[str, dict[str, Any]]) -> None:
    """Whoever opens Grafana sees it first; the file lies where the provider finds the others."""
    assert PROVIDER["options"]["path"] == "$GENAI_DASHBOARDS"
    for environment in environments.values():
        home = environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
        assert home == f"{environment['GENAI_DASHBOARDS']}/performance.json"
    assert Path(environments["native"]["GENAI_DASHBOARDS"], "performance.json").is_file()
