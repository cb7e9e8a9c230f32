"""Names, dashboards, provisioning and containers of the bundle, held against the catalogue and each other."""

import json
import re
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import rule_files
import yaml

from genai_stack import REPOSITORY, binaries, compose, demo, native, notifications, ports, secret, volumes
from genai_stack.layout import Layout

RULES = [rule.content for rule in rule_files.RULES]
FILES = sorted((REPOSITORY / "grafana" / "dashboards").glob("*.json"))


class TestAlerts:
    """What every alert carries."""

    @pytest.mark.parametrize("rule", [r for r in RULES if "alert" in r], ids=lambda rule: rule["alert"])
    def test_alerts_have_labels_and_annotations(self, rule: dict[str, Any]) -> None:
        """Severity and category from closed sets; a static summary; links to runbook and dashboard."""
        assert rule["labels"]["severity"] in {"critical", "warning", "none"}
        assert rule["labels"]["category"] in {"performance", "cache", "cost", "quality", "system", "meta"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url", "dashboard_url"}
        assert "{{" not in rule["annotations"]["summary"]
        assert rule["annotations"]["runbook_url"].endswith(f"docs/alerts/{rule['alert']}.md")
        uids = {json.loads(path.read_text())["uid"] for path in FILES}
        assert re.search(r"/d/([\w-]+)", rule["annotations"]["dashboard_url"])[1] in uids  # type: ignore[index]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """The Compose file as Compose itself understands it."""
    done = subprocess.run(
        [
            binaries.require("docker-compose"),
            "--profile",
            "demo",
            "--profile",
            "blackbox",
            "config",
            "--format",
            "json",
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def options(command: Sequence[str]) -> list[str]:
    """Return a command without the values of options that name an address or a folder."""
    return [re.sub(r"=.*[:/].*", "=", part) for part in command]


class TestContainers:
    """docker-compose.yml and the target files that go with it."""

    def test_every_service_is_hardened(self, project: dict[str, Any]) -> None:
        """Pinned, not root, read-only, without capabilities, limited, healthy by its own word, on loopback only."""
        assert set(project["services"]) == {
            *("exporter", "prometheus", "alertmanager", "grafana", "blackbox", "inbox"),
            *("llm", "rag", "load", "history", "setup"),
        }
        for name, service in project["services"].items():
            assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), name
            if name == "setup":  # reads the secrets of an owner whose number nobody knows, and talks to nobody
                assert (service["cap_add"], service["network_mode"]) == (["DAC_OVERRIDE"], "none")
            else:
                assert service["user"].split(":")[0] not in {"", "0", "root"}, name
                assert "cap_add" not in service, name
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
            assert int(service["mem_limit"]) > 0, name
            assert {port["host_ip"] for port in service.get("ports", [])} <= {"127.0.0.1"}, name
            assert name in {"load", "history", "setup"} or service["healthcheck"]["test"], name

    def test_a_fresh_clone_has_all_that_is_mounted_and_copied(self, project: dict[str, Any]) -> None:
        """Compose alone starts everything: nothing needs to be made on the host, which Docker would make as root."""
        mounted = {
            volume["source"]
            for service in project["services"].values()
            for volume in service.get("volumes", [])
            if volume["type"] == "bind"
        }
        copies = re.findall(r"^COPY (?!--from)(.+) \S+$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
        wanted = mounted | {str(REPOSITORY / path) for line in copies for path in line.split()}
        assert len(wanted) > 10
        for path in sorted(wanted):
            listed = subprocess.run(["git", "ls-files", path], cwd=REPOSITORY, capture_output=True, check=True).stdout
            assert listed, path
        assert not project.get("secrets")

    def test_what_setup_writes_is_mounted_where_it_is_read(self, project: dict[str, Any]) -> None:
        """Read-only and by itself, in containers that wait for it; the image's own files do not get in between."""
        setup = project["services"]["setup"]
        options = [option.removeprefix("--").split("=") for option in setup["command"]]
        told = {name: folder for name, folder in options if name != "mounted"}
        sources = {volume["target"]: volume["source"] for volume in setup["volumes"]}
        assert sources[told["source"]] == str(REPOSITORY / "alertmanager")
        for name, target in (("alertmanager", notifications.MOUNTED), ("grafana", "/run/secrets")):
            reader = project["services"][name]
            (volume,) = [volume for volume in reader["volumes"] if volume["target"] == target]
            assert volume["source"] == sources[told[name]]
            assert volume["read_only"] is True
            assert volume["volume"] == {"nocopy": True}
            assert reader["depends_on"]["setup"]["condition"] == "service_completed_successfully"
        looked_at = {Path(sources[folder]) for name, folder in options if name == "mounted"}
        binds = {
            Path(v["source"]) for s in project["services"].values() for v in s.get("volumes", []) if v["type"] == "bind"
        }
        for path in binds - {REPOSITORY / "alertmanager"}:
            assert looked_at & {path, *path.parents}, path
        password = project["services"]["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"]
        assert password == f"/run/secrets/{volumes.PASSWORD_FILE}"
        assert compose.PASSWORD.endswith(password)

    def test_containers_leave_no_volumes_without_names(self) -> None:
        """`down` does not remove them, and each `up` makes new ones for all images that inherit a VOLUME."""
        assert not re.search(r"^VOLUME", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)

    def test_writer_and_reader_share_user_and_volume(self, project: dict[str, Any]) -> None:
        """Metric files are readable by their owner only, so that both containers must run as the same user."""
        exporter, rag = project["services"]["exporter"], project["services"]["rag"]
        assert exporter["user"] == rag["user"]
        assert exporter["volumes"][0]["source"] == rag["volumes"][0]["source"] == "metrics"
        number = exporter["user"].split(":")[0]
        assert f"ARG UID={number}\n" in (REPOSITORY / "Dockerfile").read_text()

    def test_targets_are_the_services(self, project: dict[str, Any]) -> None:
        """Each target file names a service of the Compose file and the port that it listens on."""
        published = {
            f"{name}:{service['ports'][0]['target']}"
            for name, service in project["services"].items()
            if service.get("ports")
        }
        for path in (REPOSITORY / "prometheus" / "targets").glob("*.yml"):
            for group in yaml.safe_load(path.read_text()):
                assert set(group["targets"]) <= published

    def test_native_run_uses_the_same_ports_and_features(self, project: dict[str, Any], tmp_path: Path) -> None:
        """The two ways of running differ in addresses only."""
        for name, port in ports.PAGES.items():
            assert project["services"][name]["ports"][0]["published"] == str(port)
        layout = Layout(tmp_path, ports.DEFAULT_PORTS)
        (feature,) = [a for a in project["services"]["prometheus"]["command"] if a.startswith("--enable-feature")]
        assert feature in native.prometheus(layout, Path("prometheus")).argv

    def test_both_demos_are_the_same(self, project: dict[str, Any], tmp_path: Path) -> None:
        """The same services with the same options; addresses and folders aside."""
        natively = {service.name: service.argv for service in demo.services(Layout(tmp_path, ports.DEFAULT_PORTS))}
        assert set(natively) == {"llm", "rag", "load"}
        for name, command in natively.items():
            assert options(project["services"][name]["command"]) == options(command[2:])

    def test_the_history_is_the_exporters_and_there_before_prometheus(self, project: dict[str, Any]) -> None:
        """It goes into Prometheus's volume as Prometheus's user, under the address that Prometheus scrapes."""
        history, prometheus = project["services"]["history"], project["services"]["prometheus"]
        told = dict(option.removeprefix("--").split("=") for option in history["command"])
        (group,) = yaml.safe_load((REPOSITORY / "prometheus" / "targets" / "exporter.yml").read_text())
        assert [told["instance"]] == group["targets"]
        assert f"--storage.tsdb.path={told['data']}" in prometheus["command"]
        assert history["user"] == prometheus["user"]
        assert history["volumes"][0] in prometheus["volumes"]
        assert prometheus["depends_on"]["history"]["condition"] == "service_completed_successfully"
        (image,) = re.findall(r"--from=(\S+) /bin/promtool", (REPOSITORY / "Dockerfile").read_text())
        assert image == prometheus["image"]

    def test_the_password_is_generated_once(self, tmp_path: Path) -> None:
        """The file is made when it is missing, kept afterwards, and hidden from other users of the host."""
        path = tmp_path / "secrets" / volumes.PASSWORD_FILE
        secret.private(path.parent)
        first = secret.password(path)
        assert len(first) >= 32
        assert secret.password(path) == first
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
