"""Commands that pages tell people to type: how to install, where programs are, how to silence an alert."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import end, free_port, get, wait_until_ready

from genai_stack import REPOSITORY, binaries

PAGES = sorted(path for pattern in ("*.md", "docs/**/*.md", "examples/*/*.md") for path in REPOSITORY.glob(pattern))
EXAMPLES = [page for page in PAGES if page.parent.parent.name == "examples"]
IN_CLONE = (
    "From the root of the repository, in the virtual environment that `make up` and `make servers` set up\n"
    "(`source .venv/bin/activate`)"
)
FETCHED = ".cache/servers/prometheus-alertmanager/usr/bin/amtool"


def words(page: Path) -> str:
    """A page's text with commands that go on in another line in one."""
    return re.sub(r"\s*\\\n\s*", " ", page.read_text())


class TestInstalling:
    """The project is on no package index: it is installed from a clone."""

    @pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
    def test_no_page_promises_an_index(self, page: Path) -> None:
        """Each ``pip install`` of ours names a folder, and extras that exist."""
        extras = set(tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"])
        for command in re.findall(r"pip install ([^`\n]*)", page.read_text()):
            assert not re.search(r"(?<![\w/.])genai[-_]exporter\b", command)
            for named in re.findall(r"(?:clone|'\.)\[([\w,]+)\]", command):
                assert set(named.split(",")) <= extras

    def test_the_readme_says_so(self) -> None:
        """Whoever knows only the README is not sent there either."""
        readme = (REPOSITORY / "README.md").read_text()
        assert "Not on a package index yet: `pip install '/path/to/clone[exporter,prices]'`" in readme

    @pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: page.parent.name)
    def test_examples_run_in_the_clone(self, page: Path) -> None:
        """No wheel has the modules of the examples: one sentence, alike in all, says where they are."""
        text = page.read_text()
        assert text.index(IN_CLONE) < text.index(f"python -m {page.parent.name}")


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real Alertmanager that tells nobody."""
    folder = tmp_path_factory.mktemp("alertmanager")
    (folder / "alertmanager.yml").write_text("route: { receiver: 'null' }\nreceivers: [{ name: 'null' }]\n")
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        *(str(binaries.require("alertmanager")), f"--config.file={folder / 'alertmanager.yml'}"),
        *(f"--storage.path={folder}", f"--web.listen-address={url.removeprefix('http://')}"),
        "--cluster.listen-address=",
    ]
    log = folder / "alertmanager.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_until_ready(f"{url}/-/ready", process, log)
        yield url
    finally:
        end(process)


class TestSilencing:
    """Debian's Alertmanager has no page behind the link of a message: pages name the command."""

    @pytest.mark.parametrize("name", ["tour", "notifications"])
    def test_the_command_silences(self, name: str, alertmanager: str) -> None:
        """As it stands, against a real Alertmanager: for two hours, the alert and the service that it names."""
        (command,) = re.findall(r"^ *\$ (\S*amtool silence add .*)$", words(REPOSITORY / "docs" / f"{name}.md"), re.M)
        amtool = binaries.require("amtool")
        command = re.sub(r"^\S+", str(amtool), command.replace("http://127.0.0.1:9093", alertmanager))
        done = subprocess.run(
            ["sh", "-c", command],
            env={"USER": name, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        silences = json.loads(get(f"{alertmanager}/api/v2/silences"))
        (made,) = [silence for silence in silences if silence["createdBy"] == name]
        service = {"tour": "rag", "notifications": "chat"}[name]
        matchers = {matcher["name"]: matcher["value"] for matcher in made["matchers"]}
        assert matchers == {"alertname": "GenAIHighLatency", "service": service}


class TestWithoutContainers:
    """Whoever runs all natively has no ``docker compose logs``, and no ``amtool`` on PATH."""

    def test_amtool_is_named_where_it_is_fetched_to(self) -> None:
        """By each page that has it in a console, but for those who have installed it."""
        program = binaries.PROGRAMS["amtool"]
        path = binaries.CACHE / str(program.package) / "usr/bin" / "amtool"
        assert str(path.relative_to(REPOSITORY)) == FETCHED
        used = [page for page in PAGES if re.search(r"^ *\$ (\S*/)?amtool ", page.read_text(), re.MULTILINE)]
        assert len(used) == 4
        assert [page.name for page in used if FETCHED not in page.read_text()] == []

    def test_logs_are_files_there(self) -> None:
        """Each page that reads a log of a container reads the file, too."""
        used = [page for page in PAGES if "docker compose logs" in page.read_text()]
        assert len(used) > 5
        assert [page.name for page in used if ".run/logs/" not in page.read_text()] == []
