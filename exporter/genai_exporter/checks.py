"""``genai-exporter check`` without its command line: judges files that users edit, of the exporter and around it.

Reads files and, where they are there, runs ``promtool`` and ``amtool``; changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genai_exporter import (
    checks_alertmanager,
    checks_prices,
    checks_prometheus,
    checks_targets,
    checks_thresholds,
    checks_tools,
    config,
    tlscontext,
    webconfig,
)
from genai_exporter.checks_files import File, Kind
from genai_exporter.checks_findings import Findings
from genai_metrics import yamlfile
from genai_metrics.yamlvalues import Section


@dataclass(frozen=True)
class Report:
    """What was judged, what was found, and which programs would have found more."""

    files: tuple[File, ...]
    findings: Findings
    missing_tools: tuple[str, ...]


def check(files: Sequence[File], findings: Findings) -> Report:
    """Judge files together, and those that they name: rule files, web configurations; adds to ``findings``."""
    judged = _Judged(files, findings)
    judged.prometheus()
    judged.rules()
    judged.targets()
    judged.alertmanager()
    judged.exporter()
    judged.web()
    judged.prices()
    judged.tools()
    findings.problems.sort()
    findings.notes.sort()
    return Report(tuple(judged.files), findings, checks_tools.missing({file.kind for file in judged.files}))


class _Judged:
    """Files under judgement: ``files`` grows by what they name."""

    def __init__(self, files: Sequence[File], findings: Findings) -> None:
        self.files: list[File] = []
        for file in files:
            self._add(file)
        self.findings = findings
        self._intervals: list[checks_prometheus.Interval] = []
        self._target_files: dict[Path, list[Path]] = {}

    def prometheus(self) -> None:
        """Judge Prometheus's configuration; its rule and target files come along."""
        for root in self._read("prometheus"):
            interval = checks_prometheus.judge(root, self.findings)
            if interval is not None:
                self._intervals.append(interval)
            with self.findings.collecting(root.path):
                for path in checks_prometheus.rule_files(root):
                    self._add(File(path, "rules"))
            with self.findings.collecting(root.path):
                self._target_files[root.path] = checks_targets.target_files(root)
                for path in self._target_files[root.path]:
                    self._add(File(path, "targets"))

    def rules(self) -> None:
        """Judge rule files, all together."""
        checks_thresholds.judge(self._read("rules"), self.findings)

    def targets(self) -> None:
        """Judge target files."""
        for path in self._paths("targets"):
            checks_targets.judge(path, self.findings)

    def alertmanager(self) -> None:
        """Judge Alertmanager's configuration."""
        for root in self._read("alertmanager"):
            checks_alertmanager.judge(root, self.findings)

    def exporter(self) -> None:
        """Judge the exporter's configuration, alone and beside Prometheus's; a web configuration comes along."""
        read: list[tuple[Path | None, config.Config]] = []
        for path in self._paths("exporter"):
            with self.findings.collecting(path):
                settings = config.read(path)
                read.append((path, settings))
                if settings.web_config_file is not None:
                    self._add(File(settings.web_config_file, "web"))
        for interval in self._intervals:
            for path_or_none, settings in read or [(None, config.Config())]:
                checks_prometheus.judge_birth(interval, path_or_none, settings, self.findings)

    def web(self) -> None:
        """Judge web configurations with their certificates."""
        for path in self._paths("web"):
            with self.findings.collecting(path):
                settings = webconfig.read(path)
                if settings.tls is not None:
                    tlscontext.make_context(settings.tls)

    def prices(self) -> None:
        """Judge price files."""
        for path in self._paths("prices"):
            checks_prices.judge(path, self.findings)

    def tools(self) -> None:
        """Let Prometheus's and Alertmanager's own programs judge what has no problem yet."""
        faulty = {problem.path for problem in self.findings.problems}
        rules, prometheus, alertmanager = (
            [path for path in self._paths(kind) if path not in faulty]
            for kind in ("rules", "prometheus", "alertmanager")
        )
        checks_tools.run("promtool", ("check", "rules", "--lint=none"), rules, self.findings)
        # promtool reads the rule and target files, too. It stops at a wrong target file, and seldom names it.
        for path in prometheus:
            if not faulty.intersection(self._target_files.get(path, ())):
                checks_tools.run("promtool", ("check", "config", "--lint=none"), [path], self.findings, faulty)
        for path in alertmanager:
            checks_tools.run("amtool", ("check-config",), [path], self.findings)

    def _paths(self, kind: Kind) -> list[Path]:
        return [file.path for file in self.files if file.kind == kind]

    def _read(self, kind: Kind) -> list[Section]:
        found = []
        for path in self._paths(kind):
            with self.findings.collecting(path):
                found.append(yamlfile.read(path))
        return found

    def _add(self, file: File) -> None:
        if file.path.resolve() not in {known.path.resolve() for known in self.files}:
            self.files.append(file)
