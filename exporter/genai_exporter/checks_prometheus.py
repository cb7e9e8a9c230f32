"""Judges Prometheus's configuration: the files that it names, and what the rules and the exporter expect of it."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from genai_exporter import checks_targets
from genai_exporter.checks_files import named_by
from genai_exporter.checks_findings import Findings, line_of, texts_in
from genai_exporter.config import Config
from genai_exporter.durations import prometheus_seconds
from genai_metrics.yamlvalues import Section

JOB = "genai-exporter"
"""Name of the job that scrapes exporters; rules and dashboards select it."""

# Rules know these as well, and what they scrape may have any port.
_OWN_JOBS = (JOB, "applications", "blackbox")

_PLACEHOLDER = re.compile(r"\$\{[A-Za-z_]\w*\}")
# Of relabelling: there ${1} and ${name} are groups of the pattern.
_RELABELLED = ("replacement", "target_label")


@dataclass(frozen=True)
class Interval:
    """How often exporters are scraped, in seconds, and the file and line that say so."""

    path: Path
    line: int
    seconds: float


def judge(root: Section, findings: Findings) -> Interval | None:
    """Judge a configuration that has been read; returns how often it scrapes exporters, where that can be told."""
    _judge_placeholders(root, findings)
    with findings.collecting(root.path):
        for pattern in root.texts("rule_files"):
            if not named_by(root.path, pattern, checks_targets.MOUNTED):
                message = f"rule_files: no file is called {pattern}; correct the name, or remove it"
                findings.problem(root.path, line_of(root, "rule_files"), message)
    with findings.collecting(root.path):
        jobs = root.sections("scrape_configs")
        for job in jobs:
            _judge_targets(job, findings)
        return _judge_exporter_job(root, jobs, findings)
    return None


def rule_files(root: Section) -> list[Path]:
    """Return the rule files that a configuration names and that exist; raises ``YamlError`` for a list that is none."""
    return [
        path for pattern in root.texts("rule_files") for path in named_by(root.path, pattern, checks_targets.MOUNTED)
    ]


def judge_birth(interval: Interval, exporter: Path | None, config: Config, findings: Findings) -> None:
    """Compare the scrape interval with ``born_at_zero_seconds`` of an exporter's file, None for the default's."""
    zero = config.born_at_zero_seconds
    if zero >= interval.seconds:
        return
    remedy = (
        f"scrape each {zero:g} s or more often, or set born_at_zero_seconds to {interval.seconds:g} in the exporters' "
        "configuration and have it checked, too"
        if exporter is None
        else f"set born_at_zero_seconds to {interval.seconds:g} or more in {exporter}"
    )
    findings.problem(
        interval.path,
        interval.line,
        f"{JOB} is scraped each {interval.seconds:g} s, so first increments are lost: exporters show a new series as 0 "
        f"for {zero:g} s only; {remedy}",
    )


def _judge_placeholders(root: Section, findings: Findings) -> None:
    for keys, scalar in texts_in(root):
        found = _PLACEHOLDER.search(scalar.text)
        if found and "external_labels" not in keys and keys[-1] not in _RELABELLED:
            findings.problem(
                root.path,
                scalar.line,
                f"{'.'.join(keys)}: Prometheus expands {found[0]} in external_labels only; write the value, or a "
                "secret's file (password_file, credentials_file)",
            )


def _judge_targets(job: Section, findings: Findings) -> None:
    for discovery in job.sections("file_sd_configs"):
        for pattern in discovery.texts("files"):
            if not named_by(job.path, pattern, checks_targets.MOUNTED):
                findings.problem(
                    job.path,
                    line_of(discovery, "files"),
                    f"no target file is called {pattern}; create it ([] for no targets), or correct the name",
                )
    for group in job.sections("static_configs"):
        checks_targets.judge_group(group, findings)


def _judge_exporter_job(root: Section, jobs: tuple[Section, ...], findings: Findings) -> Interval | None:
    named = {job.text("job_name"): job for job in jobs}
    job = named.get(JOB)
    strays = _judge_other_jobs(named, findings)
    if job is None:
        if strays:
            return None
        close = get_close_matches(JOB, named, n=1)
        message = f"no job is called {JOB}, by which rules and dashboards know exporters"
        if close:
            findings.problem(root.path, line_of(named[close[0]], "job_name"), f"{message}; rename {close[0]!r}")
        elif not root.has("scrape_config_files"):
            findings.note(root.path, line_of(root, "scrape_configs"), message)
        return None
    if not job.boolean("honor_labels", False):
        findings.problem(
            root.path,
            line_of(job, "honor_labels"),
            f"{JOB}: without honor_labels a target's label `service` hides the service that recorded; add "
            "honor_labels: true",
        )
    return _interval(root, job)


def _judge_other_jobs(named: dict[str, Section], findings: Findings) -> bool:
    """Report jobs of other names that scrape exporters; whether there are any."""
    found = False
    for name, job in named.items():
        target = checks_targets.exporter_in(job) if name not in _OWN_JOBS else None
        if target is None:
            continue
        found = True
        remedy = f"move the target to {JOB}" if JOB in named else f"rename the job to {JOB}"
        findings.problem(
            job.path,
            line_of(job, "job_name"),
            f"{name} scrapes the exporter {target}, but rules and dashboards know exporters by the job {JOB}: alerts "
            f"on a lost exporter never fire; {remedy}",
        )
    return found


def _interval(root: Section, job: Section) -> Interval | None:
    general = root.section("global")
    for section in (job, general):
        if section.has("scrape_interval"):
            try:
                seconds = prometheus_seconds(section.text("scrape_interval"))
            except ValueError as error:
                raise section.error(f"scrape_interval: {error}", "scrape_interval") from None
            return Interval(root.path, line_of(section, "scrape_interval"), seconds)
    return Interval(root.path, job.line, 60)  # Prometheus's default
