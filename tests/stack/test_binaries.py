"""Finding and fetching the servers: versions, remedies, both formats of apt's sources, and two fetches at once."""

import subprocess
import sys
from pathlib import Path

import pytest

from genai_stack import binaries, debian, relocation

FAKE_APT = """#!/bin/sh
# Stands for apt-get without a network: logs what it is asked, and "downloads" an empty package.
echo "$@" >> "{log}"
for package in "$@"; do :; done
case "$*" in *download*) touch "${{package}}_1.0_all.deb";; *) sleep 0.3;; esac
"""

FAKE_DPKG = """#!/bin/sh
# Stands for dpkg -x ARCHIVE FOLDER: unpacks a program that knows its version.
mkdir -p "$3/usr/bin"
printf '#!/bin/sh\\necho prometheus, version 3.9.1\\n' > "$3/usr/bin/prometheus"
chmod +x "$3/usr/bin/prometheus"
"""


def program(path: Path, text: str) -> Path:
    """Write an executable script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def path_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is PATH's first, before the system's own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


class TestFind:
    """Programs that are already here."""

    @pytest.mark.parametrize(
        ("output", "expected"),
        [
            ("prometheus, version 3.5.3+ds1 (branch: debian/sid, revision: 3.5.3+ds1-6)", (3, 5, 3)),
            ("alertmanager, version 0.33.1 (branch: HEAD)", (0, 33, 1)),
            ("grafana version 13.2.0", (13, 2, 0)),
            ("Docker Compose version v2.40.3", (2, 40, 3)),
            ("Docker Compose version 2.40", (2, 40, 0)),
            ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", (7, 0, 15)),
            ("hello", None),
        ],
    )
    def test_versions_are_read(self, output: str, expected: tuple[int, int, int] | None, path_folder: Path) -> None:
        """Each server's own way to print its version is understood."""
        script = program(path_folder / "any", f"#!/bin/sh\necho '{output}'\n")
        assert binaries.version(script) == expected

    def test_an_old_program_is_passed_over_for_a_cached_one(self, path_folder: Path, tmp_path: Path) -> None:
        """PATH comes first, but not with a version that cannot read our configuration."""
        cache = tmp_path / "cache"
        program(path_folder / "prometheus", "#!/bin/sh\necho prometheus, version 2.42.0\n")
        assert binaries.find("prometheus", cache) is None
        cached = program(cache / "prometheus/usr/bin/prometheus", "#!/bin/sh\necho prometheus, version 3.5.3\n")
        assert binaries.find("prometheus", cache) == cached
        newer = program(path_folder / "prometheus", "#!/bin/sh\necho prometheus, version 3.14.0\n")
        assert binaries.find("prometheus", cache) == newer

    def test_what_cannot_be_fetched_comes_with_a_remedy(self, path_folder: Path, tmp_path: Path) -> None:
        """Grafana is in no archive that we fetch from: the error says how to get it."""
        program(path_folder / "grafana", "#!/bin/sh\necho grafana version 9.1.0\n")
        with pytest.raises(binaries.MissingServer, match=r"grafana is not installed.*grafana\.com"):
            binaries.require("grafana", tmp_path)


class TestFetch:
    """Programs that must be fetched."""

    def test_no_debian_is_a_clear_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Elsewhere than on Debian the error says what was looked for, what is too old and what to do."""
        program(tmp_path / "bin/prometheus", "#!/bin/sh\necho prometheus, version 2.42.0\n")
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        with pytest.raises(binaries.MissingServer) as caught:
            binaries.require("prometheus", tmp_path / "cache")
        message = str(caught.value)
        assert "is 2.42.0; 3.0 or newer is needed" in message
        assert "on Debian only" in message
        assert "prometheus.io/download" in message

    def test_a_failing_download_is_a_clear_error(self, path_folder: Path, tmp_path: Path) -> None:
        """What apt says is passed on, and nothing half-unpacked is left."""
        program(path_folder / "apt-get", "#!/bin/sh\necho 'E: no network' >&2; exit 100\n")
        program(path_folder / "dpkg", FAKE_DPKG)
        cache = tmp_path / "cache"
        with pytest.raises(binaries.MissingServer, match=r"apt-get failed with exit code 100: E: no network"):
            binaries.require("prometheus", cache)
        assert [entry.name for entry in cache.iterdir()] == [".lock"]

    def test_two_at_once_fetch_once_and_later_ones_not_at_all(self, path_folder: Path, tmp_path: Path) -> None:
        """The second process waits and takes what the first fetched; the cache needs no network afterwards."""
        log, cache = tmp_path / "log", tmp_path / "cache"
        program(path_folder / "apt-get", FAKE_APT.format(log=log))
        program(path_folder / "dpkg", FAKE_DPKG)
        script = (
            "import sys; from pathlib import Path; from genai_stack import binaries\n"
            "print(binaries.require('prometheus', Path(sys.argv[1])))"
        )
        both = [
            subprocess.Popen([sys.executable, "-c", script, cache], stdout=subprocess.PIPE, text=True) for _ in range(2)
        ]
        answers = {process.communicate(timeout=60)[0].strip() for process in both}
        assert answers == {str(cache / "prometheus/usr/bin/prometheus")}
        assert [process.returncode for process in both] == [0, 0]
        assert log.read_text().count("update") == 1
        assert [path.name for path in sorted(cache.iterdir())] == [".lock", "prometheus"]
        (path_folder / "apt-get").unlink()
        assert binaries.require("prometheus", cache) == cache / "prometheus/usr/bin/prometheus"


class TestSources:
    """The mirror that the machine itself uses."""

    def test_stanza_format(self, tmp_path: Path) -> None:
        """In the newer format: the first enabled stanza of the main archive, with its key."""
        folder = tmp_path / "sources.list.d"
        folder.mkdir()
        (folder / "a.sources").write_text(
            "Types: deb\nURIs: http://other.example/tool\nSuites: stable\n\n"
            "Types: deb\nURIs: http://old.example/debian\nSuites: x\nEnabled: no\n\n"
            "# a remark\nTypes: deb deb-src\nURIs: http://mirror.example/debian-security\nSuites: x\n\n"
            "Types: deb\nURIs: http://mirror.example/debian/\nSuites: bookworm\n"
            "Signed-By:\n -----BEGIN\n .\n -----END\n"
        )
        assert debian.source_stanza(tmp_path) == (
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: sid\nComponents: main\n"
            "Signed-By: \n -----BEGIN\n .\n -----END\n"
        )

    def test_line_format(self, tmp_path: Path) -> None:
        """In the older format: options are understood, comments and sources of source code are not taken."""
        (tmp_path / "sources.list").write_text(
            "# deb http://no.example/debian x main\ndeb-src http://no.example/debian x main\n"
            "deb [arch=amd64 signed-by=/keys/debian.gpg] http://mirror.example/debian bookworm main # remark\n"
        )
        assert debian.source_stanza(tmp_path) == (
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: sid\nComponents: main\n"
            "Signed-By: /keys/debian.gpg\n"
        )

    def test_none(self, tmp_path: Path) -> None:
        """A machine without a Debian source is told so."""
        with pytest.raises(debian.FetchError, match="no source line of the Debian archive"):
            debian.source_stanza(tmp_path)


class TestRelocation:
    """Programs that look for their files where they were not installed."""

    def test_programs_find_their_folder_from_anywhere(self, tmp_path: Path) -> None:
        """The built-in path keeps its length and leads to the unpacked folder, whatever the working directory."""
        package = tmp_path / "package"
        program(package / "usr/share/prometheus/page", "found\n")
        built_in = b"\x7fELF..../usr/share/prometheus/page...."
        server = package / "usr/bin/server"
        server.parent.mkdir()
        server.write_bytes(built_in)
        assert relocation.relocate(package) == [server]
        relocated = server.with_name("server.relocated")
        assert len(relocated.read_bytes()) == len(built_in)
        path = relocated.read_bytes().removeprefix(b"\x7fELF....").removesuffix(b"....").decode()
        # A program that reads that path, in the place of the server.
        program(relocated, f'#!/bin/sh\necho "$1" && cat {path}\n')
        answer = subprocess.run([server, "an argument"], cwd="/", capture_output=True, text=True, check=True)
        assert answer.stdout == "an argument\nfound\n"

    def test_what_is_relocated_or_needs_no_folder_is_left_alone(self, tmp_path: Path) -> None:
        """Scripts, programs without the path and packages without the folder stay as they are."""
        script = program(tmp_path / "usr/bin/script", "#!/bin/sh\ncat /usr/share/prometheus/page\n")
        assert relocation.relocate(tmp_path) == []
        (tmp_path / "usr/share/prometheus").mkdir(parents=True)
        assert relocation.relocate(tmp_path) == []
        assert "relocated" not in script.read_text()


class TestOwnSuite:
    """Programs that bring libraries come from the release that runs here."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [("ID=debian\nVERSION_CODENAME=bookworm\n", "bookworm"), ('VERSION_CODENAME="trixie"', "trixie"), ("", "sid")],
    )
    def test_is_what_the_system_says(self, text: str, expected: str, tmp_path: Path) -> None:
        """A release without a name is the unstable one."""
        release = tmp_path / "os-release"
        release.write_text(text)
        assert debian.own_suite(release) == expected
        assert debian.own_suite(tmp_path / "none") == "sid"

    def test_programs_find_their_libraries(self, tmp_path: Path) -> None:
        """A program is given the libraries beside it, and goes by the name that it was called by."""
        package = tmp_path / "package"
        program(package / "usr/bin/real", '#!/bin/sh\necho "$(basename "$0") $LD_LIBRARY_PATH $1"\n')
        (package / "usr/bin/other").symlink_to("real")
        libraries = package / "usr/lib/x86_64-linux-gnu"
        libraries.mkdir(parents=True)
        relocation.bring_libraries(package)
        for name in ("real", "other"):
            answer = subprocess.run(
                [package / "usr/bin" / name, "argument"], capture_output=True, text=True, check=True, env={}
            )
            called, path, argument = answer.stdout.split()
            assert (called, argument) == (f"{name}.relocated", "argument")
            assert Path(path).resolve() == libraries
