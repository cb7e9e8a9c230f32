"""Which files ``genai-exporter check`` judges: where the bundle keeps them, which kind a file is, what they name."""

import glob
import itertools
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from genai_exporter import config
from genai_metrics import yamlfile
from genai_metrics.yamlvalues import Section, Sequence, YamlError

Kind = Literal["rules", "prometheus", "alertmanager", "exporter", "web", "prices", "targets"]
"""What a file configures."""

# What tells each kind from the others: keys at the top of a file.
_KEYS: dict[Kind, tuple[str, ...]] = {
    "rules": ("groups",),
    "prometheus": ("scrape_configs", "scrape_config_files", "rule_files", "alerting", "remote_write", "storage"),
    "alertmanager": ("route", "receivers", "inhibit_rules", "templates", "time_intervals", "mute_time_intervals"),
    "exporter": config.KEYS,
    "web": ("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"),
    "prices": ("prices",),
    "targets": (),  # a list
}
_NAMES: dict[Kind, tuple[str, ...]] = {
    "rules": ("prometheus/rules/*.yml", "rules/*.yml", "thresholds.yml"),
    "prometheus": ("prometheus/prometheus.yml", "prometheus.yml"),
    "alertmanager": ("alertmanager/alertmanager.yml", "alertmanager.yml"),
    "exporter": ("exporter.yml", "genai-exporter.yml"),
    "web": ("web.yml",),
    "prices": ("prices.yml",),
    "targets": (),  # those that Prometheus's configuration names
}


@dataclass(frozen=True)
class File:
    """A file to judge."""

    path: Path
    kind: Kind


def in_folder(folder: Path) -> list[File]:
    """Return the files that lie where the bundle, or Prometheus's own folder, has them."""
    return [File(path, kind) for kind, names in _NAMES.items() for name in names for path in matching(folder, name)]


def expected_names() -> str:
    """Say in words where files are looked for."""
    return ", ".join(name for names in _NAMES.values() for name in names)


def of_content(path: Path) -> File:
    """Tell the kind of a file by its content, or where that says nothing by its name.

    Raises ``YamlError`` when it cannot be read or is none of them.
    """
    by_name = next((kind for kind, names in _NAMES.items() if path.name in {Path(name).name for name in names}), None)
    top = yamlfile.read_value(path)
    if isinstance(top, Sequence):
        return File(path, "targets")
    keys = yamlfile.read(path).keys()
    for kind, known in _KEYS.items():
        if any(key in known for key in keys):
            return File(path, kind)
    if by_name is None:
        line = f":{top.entries[keys[0]][0]}" if isinstance(top, Section) and keys else ""
        meant = get_close_matches(keys[0], itertools.chain(*_KEYS.values()), n=1, cutoff=0.75) if keys else []
        remedy = (
            f"did you mean {meant[0]!r} instead of {keys[0]!r}?"
            if meant
            else "check takes rules and thresholds (groups), the configurations of Prometheus (scrape_configs), "
            "Alertmanager (route), exporter and its web side, prices (prices), and lists of targets"
        )
        raise YamlError(f"{path}{line}: cannot tell what this file configures; {remedy}")
    return File(path, by_name)


def matching(folder: Path, pattern: str) -> list[Path]:
    """Return the files that a pattern stands for, seen from a folder."""
    return sorted(path for name in glob.glob(pattern, root_dir=folder) if (path := folder / name).is_file())


def here(config_file: Path, name: str, mounted: str) -> tuple[Path, bool]:
    """Return where a file that a configuration names is on this machine, and whether it was looked for elsewhere.

    Containers have the configuration's folder at ``mounted``: what is named there and not found lies beside the file.
    """
    path = Path(name)
    if not path.is_relative_to(mounted) or path.exists() or config_file.resolve().is_relative_to(mounted):
        return config_file.parent / path, False
    return config_file.parent / path.relative_to(mounted), True


def named_by(config_file: Path, pattern: str, mounted: str) -> list[Path]:
    """Return the files that a pattern in a configuration stands for on this machine."""
    folder = config_file.parent
    path, moved = here(config_file, pattern, mounted)
    return matching(folder, pattern) or (matching(folder, str(path.relative_to(folder))) if moved else [])
