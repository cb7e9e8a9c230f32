"""The committed JSON of the dashboards: fresh, of the classic schema, with frame and grid as they must be."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from genai_dashboards import __main__ as dashboards
from genai_stack import REPOSITORY

FOLDER = REPOSITORY / "grafana" / "dashboards"
FILES = sorted(FOLDER.glob("*.json"))


def test_files_are_fresh() -> None:
    """The JSON is what the code builds, twice the same, and nothing else lies there."""
    assert dashboards.stale() == []
    for build in dashboards.DASHBOARDS.values():
        assert dashboards.text(build()) == dashboards.text(build())


def test_a_stale_file_is_found(tmp_path: Path) -> None:
    """A changed, a missing and a superfluous file are each reported."""
    assert dashboards.stale(tmp_path) == sorted(tmp_path / name for name in dashboards.DASHBOARDS)
    for path in FILES:
        (tmp_path / path.name).write_text(path.read_text())
    assert dashboards.stale(tmp_path) == []
    changed = tmp_path / "performance.json"
    changed.write_text(changed.read_text().replace("GenAI", "genAI"))
    (tmp_path / "left-over.json").write_text("{}")
    assert dashboards.stale(tmp_path) == [tmp_path / "left-over.json", changed]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
class TestFile:
    """Each dashboard."""

    def test_schema_is_the_classic_one(self, path: Path) -> None:
        """Grafana's file provisioning rejects anything but the classic schema."""
        content = json.loads(path.read_text())
        assert content["schemaVersion"] == 42
        assert content["editable"] is False
        assert content["uid"] == f"genai-{path.stem}"
        assert not {"elements", "layout", "apiVersion", "kind", "spec", "id", "__inputs"} & set(content)
        assert path.read_text() == json.dumps(content, sort_keys=True, indent=2) + "\n"

    def test_sdk_reads_what_it_wrote(self, path: Path) -> None:
        """Nothing is lost or added when the classes of the schema read the file: no option of a panel is unknown."""
        plugins.register_default_plugins()
        content = json.loads(path.read_text())
        again = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(content)))
        assert without_placement(again) == content

    def test_grid_has_neither_overlap_nor_hole(self, path: Path) -> None:
        """Panels and headings tile the 24-column grid, and their numbers are unique."""
        content = json.loads(path.read_text())
        cells: list[tuple[int, int]] = []
        for place in (panel["gridPos"] for panel in content["panels"]):
            across = range(place["x"], place["x"] + place["w"])
            cells += itertools.product(across, range(place["y"], place["y"] + place["h"]))
        height = max(y for _, y in cells) + 1
        assert sorted(cells) == sorted(itertools.product(range(24), range(height)))
        identifiers = [panel["id"] for panel in content["panels"]]
        assert len(set(identifiers)) == len(identifiers)


def without_placement(content: Any) -> Any:
    """The dashboard with links and annotations in view, as the committed ones."""
    for shown in (*content["links"], *content["annotations"]["list"]):
        del shown["placement"]
    return content
