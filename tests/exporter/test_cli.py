"""Tests of the command's errors: each runs the real ``genai-exporter`` as a process of its own."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without what the exporter reads, plus the given variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GENAI_")}
    return {**kept, **variables}


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "genai_exporter", *arguments],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestUsageErrors:
    """Told wrongly: exit code 2, and a message that names the nearest right thing."""

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (("serv",), "No such command 'serv'; did you mean 'serve'?"),
            (("serve", "--metric-dir", "x"), "Did you mean one of: '--metrics-dir'"),
            (("serve", "--web.listen-adress", ":1"), "Did you mean '?--web.listen-address'?\\?"),
            (("--versoin",), "Did you mean '?--version'?\\?"),
            (("serve", "--metrics-dir"), "'--metrics-dir' requires an argument"),
            (("serve", "--metrics-dir", "x", "y"), r"unexpected extra argument \(y\)"),
            (
                ("serve", "--metrics-dir", "x", "--web.listen-address", "localhost"),
                "'--web.listen-address': 'localhost' has no port; give HOST:PORT, such as 127.0.0.1:9840",
            ),
            (
                ("serve", "--metrics-dir", "x", "--web.listen-address", "::1:80"),
                "'--web.listen-address': .*put an IPv6 address in brackets",
            ),
            (
                ("serve", "--metrics-dir", "x", "--born-at-zero-seconds", "-3"),
                "'--born-at-zero-seconds': '-3' is not a number of seconds from 0 on",
            ),
            (
                ("serve", "--metrics-dir", "x", "--log.level", "loud"),
                "'--log.level': 'loud' is not one of 'debug', 'info', 'warning', 'error'",
            ),
            (("serve", "--metrics-dir", ""), "'--metrics-dir'.*: the name is empty; give the directory"),
            (("serve",), "give --metrics-dir DIR, set GENAI_METRICS_DIR, or write metrics_dir"),
            (("serve", "--config.file", "/none/x.yml"), "/none/x.yml: cannot be read: No such file"),
        ],
    )
    def test_names_the_fault_and_the_remedy(self, arguments: tuple[str, ...], expected: str) -> None:
        """Each wrong command line ends with 2 and says what to write, without a traceback."""
        done = run(*arguments)
        assert done.returncode == 2
        assert re.search(expected, done.stderr)
        assert "Traceback" not in done.stderr
        assert done.stdout == ""

    def test_a_wrong_file_names_its_line(self, tmp_path: Path) -> None:
        """File, line, key and the nearest key."""
        path = tmp_path / "exporter.yml"
        path.write_text("metrics_dir: metrics\nborn_at_zero: 3\n")
        done = run("serve", "--config.file", str(path))
        assert done.returncode == 2
        message = f"{path}:2: unknown key 'born_at_zero'; did you mean 'born_at_zero_seconds'?"
        assert message in done.stderr
        assert not (tmp_path / "metrics").exists()

    def test_version(self) -> None:
        """The version is printed and nothing is started."""
        done = run("--version")
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(r"genai-exporter, version \S+\n", done.stdout)

    @pytest.mark.parametrize("arguments", [("--help",), ("demo", "-h")])
    def test_help_shows_whole_sentences(self, arguments: tuple[str, ...]) -> None:
        """No summary of a command is cut off, also on a narrow terminal."""
        done = run(*arguments, COLUMNS="60")
        summaries = done.stdout.partition("Commands:")[2]
        assert summaries.count(".\n") == len(re.findall(r"^  \w", summaries, re.M)) >= 2
        assert "..." not in summaries

    @pytest.mark.parametrize("missing", ["click", "starlette", "uvicorn"])
    def test_a_missing_dependency_is_named(self, missing: str) -> None:
        """Installed without its extra, the command says what to install."""
        script = f"import sys; sys.modules[{missing!r}] = None; import genai_exporter.cli"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert "pip install 'genai-exporter[exporter]'" in done.stderr
        assert "Traceback" not in done.stderr


class TestCannotServe:
    """The machine says no: exit code 1 and one clear line."""

    def test_a_port_in_use_is_named(self, tmp_path: Path) -> None:
        """The address and the option to change it are in the message, and the directory is not touched."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            done = run("serve", "--metrics-dir", str(tmp_path / "m"), "--web.listen-address", address)
        assert done.returncode == 1
        assert f"Error: cannot listen on {address}: address already in use" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "m").exists()

    def test_a_port_in_use_does_not_hide_a_wrong_directory(self, tmp_path: Path) -> None:
        """Both are told at once, or the second would come as a surprise."""
        tmp_path.chmod(0o777)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            done = run("serve", "--metrics-dir", str(tmp_path), "--web.listen-address", address)
        assert done.returncode == 1
        first, second = done.stderr.splitlines()
        assert first.startswith(f"Error: cannot listen on {address}: address already in use")
        assert second.startswith(f"Also: metrics directory refused: every user of this machine may write to {tmp_path}")

    @pytest.mark.parametrize(
        ("address", "expected"),
        [
            ("192.0.2.1:9840", "cannot listen on 192.0.2.1:9840: not an address of this machine"),
            ("no-such-host.invalid:9840", "cannot listen on no-such-host.invalid:9840: no such host"),
        ],
    )
    def test_a_foreign_address_is_named(self, tmp_path: Path, address: str, expected: str) -> None:
        """Addresses of other machines and unknown names."""
        done = run("serve", "--metrics-dir", str(tmp_path), "--web.listen-address", address)
        assert done.returncode == 1
        assert expected in done.stderr

    def test_a_file_in_place_of_the_directory_is_named(self, tmp_path: Path) -> None:
        """The path is in the message."""
        path = tmp_path / "file"
        path.write_text("")
        done = run("serve", "--metrics-dir", str(path), "--web.listen-address", "127.0.0.1:0")
        assert done.returncode == 1
        assert f"metrics directory {path} cannot be used: Not a directory; it must be" in done.stderr
        assert "Traceback" not in done.stderr


class TestTenantHash:
    """What dashboards show in place of a tenant."""

    def test_prints_what_is_recorded(self, tmp_path: Path) -> None:
        """A line for each name, as sha256sum writes them; ``__other__`` is no tenant's name."""
        key = tmp_path / "key"
        key.write_text("0123456789abcdef0123456789abcdef\n")
        key.chmod(0o600)
        done = run("tenant-hash", "--key-file", str(key), "acme", "__other__")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "d8ad00265ff0a302  acme\n__other__  __other__\n"
        assert run("tenant-hash", "acme", GENAI_TENANT_HASH_KEY_FILE=str(key)).stdout == "d8ad00265ff0a302  acme\n"

    def test_refuses_what_applications_refuse(self, tmp_path: Path) -> None:
        """A key that others may read, and a name that is recorded as another one."""
        key = tmp_path / "key"
        key.write_text("0123456789abcdef0123456789abcdef\n")
        key.chmod(0o644)
        done = run("tenant-hash", "--key-file", str(key), "acme")
        assert (done.returncode, done.stdout) == (1, "")
        assert "chmod 600" in done.stderr
        key.chmod(0o600)
        done = run("tenant-hash", "--key-file", str(key), "")
        assert (done.returncode, done.stdout) == (1, "")
        assert "'' is no name that a tenant is recorded under" in done.stderr
