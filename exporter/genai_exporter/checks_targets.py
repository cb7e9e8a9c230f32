"""Judges target files, and targets within Prometheus's configuration; finds the jobs that scrape exporters.

https://prometheus.io/docs/prometheus/latest/configuration/configuration/#file_sd_config has their form.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from genai_exporter.checks_files import named_by
from genai_exporter.checks_findings import Findings
from genai_metrics import yamlfile
from genai_metrics.yamlvalues import Section, Sequence, YamlError, nearest

MOUNTED = "/etc/prometheus"
"""Where containers have the folder of Prometheus's configuration."""

_EXPORTER = re.compile(r":9840$")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GROUP_KEYS = ("targets", "labels")


def groups_in(path: Path) -> tuple[Section, ...]:
    """Read the groups of a target file; raises ``YamlError`` when it is not a list of mappings."""
    top = yamlfile.read_value(path)
    if top is None:
        raise YamlError(f"{path}: is empty; write [] for no targets")
    if not isinstance(top, Sequence):
        raise YamlError(f'{path}:{top.line}: must be a list; begin a group of targets with - targets: ["HOST:PORT"]')
    for item in top.values:
        if not isinstance(item, Section):
            raise YamlError(f'{path}:{item.line}: must be a group of targets; write - targets: ["HOST:PORT"]')
    return tuple(item for item in top.values if isinstance(item, Section))


def judge(path: Path, findings: Findings) -> None:
    """Judge one target file."""
    with findings.collecting(path):
        for group in groups_in(path):
            judge_group(group, findings)


def judge_group(group: Section, findings: Findings) -> None:
    """Judge targets that share labels."""
    with findings.collecting(group.path):
        for key in group.keys():  # noqa: SIM118
            if key not in _GROUP_KEYS:
                raise group.error(f"unknown key {key!r} in a group of targets; {nearest(key, _GROUP_KEYS)}", key)
        if not group.has("targets"):
            raise group.error('a group without targets; add targets: ["HOST:PORT"]')
        for target in group.texts("targets"):
            if "/" in target or re.search(r"\s", target):
                message = f"{target!r} is not an address; write HOST:PORT"
                if "/" in target:
                    message += ", without http:// and path: a path goes to the label __metrics_path__"
                raise group.error(message, "targets")
        labels = group.section("labels")
        for name in labels.keys():  # noqa: SIM118
            if not _LABEL.fullmatch(name):
                raise labels.error(f"{name!r} is not a label's name; use letters, digits and _", name)
            if isinstance(labels.entries[name][1], Section | Sequence):
                labels.text(name)


def target_files(root: Section) -> list[Path]:
    """Return the target files that a configuration names, for scraping and for Alertmanager, and that exist.

    Raises ``YamlError`` for parts of another form.
    """
    users = (*root.sections("scrape_configs"), *root.section("alerting").sections("alertmanagers"))
    return [path for user in users for path in _files(user)]


def exporter_in(job: Section) -> str | None:
    """Return a target of a job that is an exporter by its port, None without one.

    Groups and jobs that set the label ``job`` themselves are passed over.
    """
    if any(rule.text("target_label", "") == "job" for rule in job.sections("relabel_configs")):
        return None
    for group in _groups(job):
        for target in () if group.section("labels").has("job") else group.texts("targets"):
            if _EXPORTER.search(target):
                return target
    return None


def _groups(job: Section) -> Iterator[Section]:
    yield from job.sections("static_configs")
    for path in _files(job):
        try:
            yield from groups_in(path)
        except YamlError:  # judged where the file is
            continue


def _files(user: Section) -> Iterator[Path]:
    for discovery in user.sections("file_sd_configs"):
        for pattern in discovery.texts("files"):
            yield from named_by(user.path, pattern, MOUNTED)
