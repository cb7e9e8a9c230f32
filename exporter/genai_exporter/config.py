"""What the exporter can be told: its settings, their defaults, and how a YAML file gives them.

Reads no environment and no command line (``cli`` does); imports the standard library, the catalogue, the YAML reader,
``directory`` and what says where the host is.
"""

import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from genai_exporter.collectors.host_files import Roots
from genai_exporter.directory import Limits
from genai_metrics import yamlfile
from genai_metrics.blockfile import MAX_FILE_BYTES
from genai_metrics.catalog import DEFAULT_LABEL_CAPS
from genai_metrics.ownership import SHARED_CHOICES
from genai_metrics.yamlvalues import Section, Sequence, YamlError, nearest

LOG_LEVELS = ("debug", "info", "warning", "error")
"""Log levels, from most to least talkative."""

KEYS = (
    "metrics_dir",
    "metrics_dir_shared",
    "metrics_dir_limits",
    "web",
    "born_at_zero_seconds",
    "label_caps",
    "collectors",
    "log",
)
"""Keys at the top of a configuration file."""

_ADDRESS_FORM = "give HOST:PORT, such as 127.0.0.1:9840, [::1]:9840 or, for all interfaces, :9840"
_UNIX = "unix:"

COLLECTORS = ("host", "gpu")
"""Collectors that can be switched off; that of the applications cannot."""

ROOTS = {"procfs": "proc", "sysfs": "sys", "cgroupfs": "cgroup", "rootfs": "root"}
"""Names, as settings, of where the host collector finds the host, and as fields of ``Roots``."""


@dataclass(frozen=True)
class Address:
    """A TCP address to listen on.

    ``host`` is a name or an IP address without brackets; empty means all interfaces. ``port`` is 0 to 65535;
    0 means any free one.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read ``HOST:PORT``, ``[IPV6]:PORT`` or ``:PORT``; raises ``ValueError`` that says what to write."""
        if "/" in text:
            raise ValueError(f"{text!r} is not an address; leave out http:// and the path, and {_ADDRESS_FORM}")
        host, colon, port = text.strip().rpartition(":")
        if not colon:
            raise ValueError(f"{text!r} has no port; {_ADDRESS_FORM}")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            _check_ipv6(host)
        elif ":" in host:
            raise ValueError(f"{text!r} is ambiguous; put an IPv6 address in brackets, such as [::1]:9840")
        if not (port.isascii() and port.isdigit() and int(port) <= 65535):
            raise ValueError(f"{port!r} is not a port from 0 to 65535; {_ADDRESS_FORM}")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class UnixAddress:
    """A Unix socket to listen on."""

    path: Path

    def __str__(self) -> str:
        return f"{_UNIX}{self.path}"


def parse_address(text: str, folder: Path = Path()) -> Address | UnixAddress:
    """Read ``unix:PATH``, relative to ``folder``, or what ``Address.parse`` reads; raises ``ValueError`` likewise."""
    path = text.strip().removeprefix(_UNIX)
    if path == text.strip():
        return Address.parse(text)
    if not path:
        raise ValueError(f"{text!r} names no socket; give unix:PATH, such as unix:/run/genai-exporter/web.sock")
    return UnixAddress(folder / Path(path).expanduser())


@dataclass(frozen=True)
class CollectorSettings:
    """Whether a collector runs, and how many seconds (> 0) it may take in one scrape.

    The default is half of Prometheus's usual scrape timeout.
    """

    enabled: bool = True
    timeout_seconds: float = 5.0


@dataclass(frozen=True)
class Config:
    """Settings of one exporter; immutable.

    ``metrics_dir`` is the directory that the applications write to, or None while nothing has named one.
    ``metrics_dir_shared``: ``"group"`` where users of one group write to it on purpose. ``metrics_dir_limits``: how
    much of it is read in one scrape.
    ``listen_addresses``: at least one. ``web_config_file`` says how they are secured; None: not at all.
    ``born_at_zero_seconds`` (>= 0): how long a new series is shown as 0 before it is shown with its value.
    ``label_caps``: the most values that a label may take in one service, for every capped label. ``collectors``: the
    settings of each of ``COLLECTORS``. ``host_roots``: where the host is that the host collector watches.
    """

    metrics_dir: Path | None = None
    metrics_dir_shared: str | None = None
    metrics_dir_limits: Limits = field(default_factory=Limits)
    listen_addresses: tuple[Address | UnixAddress, ...] = (Address("127.0.0.1", 9840),)
    web_config_file: Path | None = None
    born_at_zero_seconds: float = 20.0
    label_caps: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_LABEL_CAPS))
    collectors: Mapping[str, CollectorSettings] = field(
        default_factory=lambda: {name: CollectorSettings() for name in COLLECTORS}
    )
    host_roots: Roots = field(default_factory=Roots)
    log_level: str = "info"

    def switched(self, switches: Mapping[str, bool]) -> "Config":
        """Return these settings with collectors switched on or off."""
        changed = {name: replace(self.collectors[name], enabled=enabled) for name, enabled in switches.items()}
        return replace(self, collectors={**self.collectors, **changed})

    def rooted(self, roots: Mapping[str, Path]) -> "Config":
        """Return these settings with the host elsewhere; ``roots`` by the names of ``ROOTS``."""
        return replace(self, host_roots=replace(self.host_roots, **{ROOTS[name]: at for name, at in roots.items()}))


def seconds(text: str) -> float:
    """Read a finite number of seconds >= 0; raises ``ValueError`` that says what to write instead."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ValueError(f"{text!r} is not a number of seconds from 0 on; give one without a unit, such as 20")
    return number


def read(path: Path) -> Config:
    """Read a YAML configuration file over the defaults.

    Relative paths are taken from the folder of the file. Raises ``YamlError``, whose text
    names file, line, key and remedy, for anything that is unknown, misplaced or out of range.
    """
    root = yamlfile.read(path)
    root.check_keys(KEYS)
    web, log, caps = root.section("web"), root.section("log"), root.section("label_caps")
    web.check_keys(("listen_address", "config_file"))
    log.check_keys(("level",))
    caps.check_keys(DEFAULT_LABEL_CAPS)
    config, given = Config(), caps.keys()
    directory = root.text("metrics_dir", None)
    shared = root.text("metrics_dir_shared", None)
    if shared not in (None, *SHARED_CHOICES):
        raise root.error(
            f"metrics_dir_shared: {shared!r} is unknown; write group, or leave it out", "metrics_dir_shared"
        )
    web_config_file = web.text("config_file", None)
    level = log.text("level", config.log_level)
    if level not in LOG_LEVELS:
        raise log.error(f"log.level: {level!r} is not a log level; {nearest(level, LOG_LEVELS)}", "level")
    return replace(
        config,
        metrics_dir=None if directory is None else path.parent / Path(directory).expanduser(),
        metrics_dir_shared=shared,
        metrics_dir_limits=_limits(root.section("metrics_dir_limits")),
        listen_addresses=_addresses(web) or config.listen_addresses,
        web_config_file=None if web_config_file is None else path.parent / Path(web_config_file).expanduser(),
        born_at_zero_seconds=root.number("born_at_zero_seconds", config.born_at_zero_seconds, minimum=0),
        label_caps={**config.label_caps, **{name: caps.integer(name, minimum=1) for name in given}},
        collectors=_collectors(root.section("collectors")),
        log_level=level,
    ).rooted(_roots(root.section("collectors").section("host")))


def _collectors(given: Section) -> dict[str, CollectorSettings]:
    """Read ``collectors``, each of which, and each key of which, may be left out."""
    given.check_keys(COLLECTORS)
    default, read_ = CollectorSettings(), {}
    for name in COLLECTORS:
        one = given.section(name)
        one.check_keys(("enabled", "timeout_seconds", *(ROOTS if name == "host" else ())))
        read_[name] = CollectorSettings(
            one.boolean("enabled", default.enabled),
            one.number("timeout_seconds", default.timeout_seconds, minimum=0.1, maximum=600),
        )
    return read_


def _roots(host: Section) -> dict[str, Path]:
    """Read where the host is; relative paths are taken from the folder of the file."""
    return {name: host.path.parent / Path(host.text(name)).expanduser() for name in ROOTS if host.has(name)}


def _limits(given: Section) -> Limits:
    """Read ``metrics_dir_limits``, each key of which may be left out."""
    default = Limits()
    given.check_keys(("files", "file_bytes", "total_bytes"))
    return Limits(
        given.integer("files", default.files, minimum=1),
        given.integer("file_bytes", default.file_bytes, minimum=1, maximum=MAX_FILE_BYTES),
        given.integer("total_bytes", default.total_bytes, minimum=1),
    )


def _addresses(web: Section) -> tuple[Address | UnixAddress, ...]:
    """Read ``listen_address``: one, or a list of them."""
    if not web.has("listen_address"):
        return ()
    several = isinstance(web.entries["listen_address"][1], Sequence)
    try:
        texts = web.texts("listen_address") if several else (web.text("listen_address"),)
        return tuple(parse_address(text, web.path.parent) for text in texts)
    except YamlError:
        raise
    except ValueError as error:
        raise web.error(f"web.listen_address: {error}", "listen_address") from error


def _check_ipv6(host: str) -> None:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        raise ValueError(f"{host!r} in brackets is not an IPv6 address; {_ADDRESS_FORM}") from None
