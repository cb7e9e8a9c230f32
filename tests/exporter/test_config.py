"""Tests of the exporter's settings and its configuration file."""

import re
from pathlib import Path

import pytest

from genai_exporter import config
from genai_exporter.collectors.host_files import Roots
from genai_exporter.config import Address, CollectorSettings, Config, UnixAddress
from genai_exporter.directory import Limits
from genai_metrics.catalog import DEFAULT_LABEL_CAPS
from genai_metrics.yamlvalues import YamlError


def write(folder: Path, text: str) -> Path:
    """Write a configuration file and return its path."""
    path = folder / "exporter.yml"
    path.write_text(text)
    return path


class TestAddress:
    """Addresses as people write them."""

    @pytest.mark.parametrize(
        ("text", "host", "port"),
        [
            ("127.0.0.1:9840", "127.0.0.1", 9840),
            ("localhost:0", "localhost", 0),
            ("[::1]:9840", "::1", 9840),
            (":9840", "", 9840),
            ("0.0.0.0:65535", "0.0.0.0", 65535),
        ],
    )
    def test_reads_the_usual_forms_and_writes_them_back(self, text: str, host: str, port: int) -> None:
        """Host and port are split, brackets removed, and the text form is the one that was given."""
        address = Address.parse(text)
        assert (address.host, address.port) == (host, port)
        assert str(address) == text

    @pytest.mark.parametrize(
        ("text", "hint"),
        [
            ("9840", "has no port; give HOST:PORT"),
            ("localhost", "has no port; give HOST:PORT"),
            ("", "has no port; give HOST:PORT"),
            ("::1:9840", "put an IPv6 address in brackets, such as [::1]:9840"),
            ("[::x]:9840", "'::x' in brackets is not an IPv6 address"),
            ("localhost:http", "'http' is not a port from 0 to 65535"),
            ("localhost:65536", "'65536' is not a port from 0 to 65535"),
            ("localhost:-1", "'-1' is not a port from 0 to 65535"),
            ("localhost:²", "'²' is not a port"),
            ("localhost:", "'' is not a port"),
            ("http://localhost:9840/metrics", "leave out http:// and the path"),
        ],
    )
    def test_says_what_to_write_instead(self, text: str, hint: str) -> None:
        """Every refusal names the value and the form that is expected."""
        with pytest.raises(ValueError, match=re.escape(hint)):
            Address.parse(text)


class TestParseAddress:
    """Addresses of both kinds."""

    def test_a_path_after_unix(self, tmp_path: Path) -> None:
        """Relative to a folder, absolute, and written back as it is."""
        address = config.parse_address("unix:web.sock", tmp_path)
        assert address == UnixAddress(tmp_path / "web.sock")
        assert str(address) == f"unix:{tmp_path}/web.sock"
        assert config.parse_address("unix:/run/web.sock", tmp_path) == UnixAddress(Path("/run/web.sock"))

    def test_anything_else_is_host_and_port(self) -> None:
        """With the same errors as ever."""
        assert config.parse_address(":9840") == Address("", 9840)
        with pytest.raises(ValueError, match="has no port"):
            config.parse_address("unix")
        with pytest.raises(ValueError, match="names no socket; give unix:PATH"):
            config.parse_address("unix:")


class TestSeconds:
    """Durations on the command line."""

    @pytest.mark.parametrize(("text", "expected"), [("0", 0.0), ("20", 20.0), ("1.5", 1.5), ("1e2", 100.0)])
    def test_reads_numbers(self, text: str, expected: float) -> None:
        """Whole, fractional and exponent forms are numbers."""
        assert config.seconds(text) == expected

    @pytest.mark.parametrize("text", ["-1", "nan", "inf", "20s", "", "1e999"])
    def test_refuses_what_is_not_a_duration(self, text: str) -> None:
        """Negative, infinite and unit-bearing values are named."""
        with pytest.raises(ValueError, match=re.escape(f"{text!r} is not a number of seconds from 0 on")):
            config.seconds(text)


class TestRead:
    """The YAML file."""

    def test_reads_every_key(self, tmp_path: Path) -> None:
        """Each documented key reaches its setting; caps not named keep their defaults."""
        path = write(
            tmp_path,
            "metrics_dir: /var/lib/genai\n"
            "web:\n  listen_address: '[::1]:9000'\n  config_file: web.yml\n"
            "born_at_zero_seconds: 61.5\n"
            "label_caps: {tenant: 5, model: 7}\n"
            "log: {level: debug}\n",
        )
        assert config.read(path) == Config(
            metrics_dir=Path("/var/lib/genai"),
            listen_addresses=(Address("::1", 9000),),
            web_config_file=tmp_path / "web.yml",
            born_at_zero_seconds=61.5,
            label_caps={**DEFAULT_LABEL_CAPS, "tenant": 5, "model": 7},
            log_level="debug",
        )

    def test_several_addresses(self, tmp_path: Path) -> None:
        """A list in place of one; a socket's path starts at the file."""
        path = write(tmp_path, "web:\n  listen_address:\n    - 127.0.0.1:9840\n    - unix:web.sock\n")
        assert config.read(path).listen_addresses == (Address("127.0.0.1", 9840), UnixAddress(tmp_path / "web.sock"))
        assert config.read(write(tmp_path, "web: {listen_address: []}\n")) == Config()

    def test_reads_what_protects_the_directory(self, tmp_path: Path) -> None:
        """Sharing and limits; those not named keep their defaults."""
        text = "metrics_dir_shared: group\nmetrics_dir_limits:\n  files: 50\n  total_bytes: 1000000\n"
        read = config.read(write(tmp_path, text))
        assert read.metrics_dir_shared == "group"
        assert read.metrics_dir_limits == Limits(files=50, total_bytes=1_000_000)

    def test_collectors(self, tmp_path: Path) -> None:
        """Switches and limits; options switch over what the file says, and leave the limits alone."""
        read = config.read(write(tmp_path, "collectors:\n  gpu: {enabled: false, timeout_seconds: 2}\n"))
        assert read.collectors["gpu"] == CollectorSettings(enabled=False, timeout_seconds=2)
        assert read.collectors["host"] == CollectorSettings()
        assert read.switched({"gpu": True}).collectors["gpu"] == CollectorSettings(enabled=True, timeout_seconds=2)
        assert read.switched({}) == read

    def test_an_empty_file_means_the_defaults(self, tmp_path: Path) -> None:
        """No key at all is no error."""
        assert config.read(write(tmp_path, "")) == Config()

    def test_a_relative_directory_starts_at_the_file(self, tmp_path: Path) -> None:
        """The working directory of the exporter does not matter."""
        assert config.read(write(tmp_path, "metrics_dir: metrics\n")).metrics_dir == tmp_path / "metrics"

    def test_where_the_host_is(self, tmp_path: Path) -> None:
        """Each path by itself, relative ones from the folder of the file; the command line wins."""
        read = config.read(write(tmp_path, "collectors:\n  host: {procfs: /host/proc, rootfs: host, cgroupfs: /c}\n"))
        assert read.host_roots == Roots(proc=Path("/host/proc"), root=tmp_path / "host", cgroup=Path("/c"))
        assert read.rooted({"sysfs": Path("/s"), "cgroupfs": Path("/d")}).host_roots == Roots(
            Path("/host/proc"), Path("/s"), Path("/d"), tmp_path / "host"
        )
        assert config.read(write(tmp_path, "collectors: {host: {enabled: no}}\n")).host_roots == Roots()

    @pytest.mark.parametrize(
        ("text", "line", "hint"),
        [
            ("metric_dir: x\n", 1, "unknown key 'metric_dir'; did you mean 'metrics_dir'?"),
            ("\nweb:\n  listen_adress: x\n", 3, "unknown key 'listen_adress' in web; did you mean"),
            ("log:\n  levle: info\n", 2, "unknown key 'levle' in log; did you mean 'level'?"),
            ("label_caps:\n  tennant: 5\n", 2, "unknown key 'tennant' in label_caps; did you mean 'tenant'?"),
            ("label_caps:\n  tenant: 0\n", 2, "label_caps.tenant must be at least 1, not 0"),
            ("label_caps:\n  tenant: 1.5\n", 2, "label_caps.tenant must be a whole number, not '1.5'"),
            ("born_at_zero_seconds: -1\n", 1, "born_at_zero_seconds must be at least 0, not -1"),
            ("born_at_zero_seconds: .nan\n", 1, "born_at_zero_seconds must be a number"),
            ("web:\n  listen_address: localhost\n", 2, "web.listen_address: 'localhost' has no port; give"),
            ("web:\n  listen_address: [':1', localhost]\n", 2, "web.listen_address: 'localhost' has no port; give"),
            ("web:\n  listen_address: [{}]\n", 2, "web.listen_address[0] must be text, not a mapping"),
            ("web: localhost:9840\n", 1, "web must be a mapping"),
            ("log:\n  level: verbose\n", 2, "log.level: 'verbose' is not a log level; known: debug"),
            ("log:\n  level: inof\n", 2, "log.level: 'inof' is not a log level; did you mean 'info'?"),
            ("metrics_dir: [a, b]\n", 1, "metrics_dir must be text, not a list"),
            ("metrics_dir_shared: world\n", 1, "metrics_dir_shared: 'world' is unknown; write group, or leave it out"),
            ("metrics_dir_limits:\n  file: 1\n", 2, "unknown key 'file' in metrics_dir_limits; did you mean 'files'?"),
            ("metrics_dir_limits:\n  files: 0\n", 2, "metrics_dir_limits.files must be at least 1, not 0"),
            ("collectors:\n  gpus: {}\n", 2, "unknown key 'gpus' in collectors; did you mean 'gpu'?"),
            ("collectors:\n  gpu: {procfs: /proc}\n", 2, "unknown key 'procfs' in collectors.gpu"),
            (
                "collectors:\n  host: {procsf: /proc}\n",
                2,
                "unknown key 'procsf' in collectors.host; did you mean 'procfs'",
            ),
            ("collectors:\n  gpu: false\n", 2, "collectors.gpu must be a mapping"),
            ("collectors:\n  gpu:\n    timeout_seconds: 0\n", 3, "collectors.gpu.timeout_seconds must be at least 0.1"),
            (
                "metrics_dir_limits:\n  file_bytes: 99999999\n",
                2,
                "metrics_dir_limits.file_bytes must be at most 67108864, not 99999999",
            ),
        ],
    )
    def test_errors_name_file_line_and_remedy(self, tmp_path: Path, text: str, line: int, hint: str) -> None:
        """Whatever is wrong is found from the message alone."""
        path = write(tmp_path, text)
        with pytest.raises(YamlError, match=re.escape(f"{path}:{line}: {hint}")):
            config.read(path)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        """The path is in the message."""
        path = tmp_path / "none.yml"
        with pytest.raises(YamlError, match=re.escape(f"{path}: cannot be read")):
            config.read(path)
