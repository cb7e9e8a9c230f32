"""``genai-exporter check``: is what users have edited right? One line a problem, exit code 1 if there is any."""

import json
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from genai_exporter import checks
from genai_exporter.checks_files import File, expected_names, in_folder, of_content
from genai_exporter.checks_findings import Finding, Findings


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@click.option(
    "--price-file",
    "price_file",
    envvar="GENAI_PRICE_FILE",
    show_envvar=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Price file to check as well.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of lines.")
@click.pass_context
def check(context: click.Context, paths: tuple[Path, ...], price_file: Path | None, as_json: bool) -> None:
    """Check files before servers read them: thresholds, budgets, prices, exporter, Prometheus, Alertmanager.

    PATH is a file, of whatever kind, or a folder in which files lie as in the bundle; without any it is the working
    directory. Files that these name are checked along. What promtool and amtool find is shown, if they are there.

    Exit codes: 0 without problems, 1 with, 2 when there is nothing to check or a PATH does not exist.
    """
    for path in paths:
        if not path.exists():
            raise click.UsageError(f"{path}: no such file or folder; correct the path")
    given = context.get_parameter_source("price_file") is ParameterSource.COMMANDLINE
    files, findings = [], Findings()
    for path in paths or (Path(),):
        with findings.collecting(path):
            files += in_folder(path) if path.is_dir() else [of_content(path)]
    if price_file is not None and (given or not paths):
        files.append(File(price_file, "prices"))
    if not files and not findings.problems:
        raise click.UsageError(
            f"nothing to check in {paths[0] if paths else Path.cwd()}; looked for {expected_names()}"
        )
    report = checks.check(files, findings)
    click.echo(_as_json(report) if as_json else _as_text(report))
    context.exit(1 if findings.problems else 0)


def _as_text(report: checks.Report) -> str:
    findings = report.findings
    lines = [*map(str, findings.problems), *(f"note: {note}" for note in findings.notes)]
    if report.missing_tools:
        lines.append(
            f"note: not asked, as not on PATH: {' and '.join(report.missing_tools)}; they find more: download them "
            "from prometheus.io/download, or run `make servers` in a clone and its .venv/bin/genai-exporter"
        )
    count, checked = len(findings.problems), len(report.files)
    lines.append(f"{checked} file{'s' * (checked != 1)} checked, {count or 'no'} problem{'s' * (count != 1)}")
    return "\n".join(lines)


def _as_json(report: checks.Report) -> str:
    told = {
        "files": [{"file": str(file.path), "kind": file.kind} for file in report.files],
        "problems": [_as_dict(problem) for problem in report.findings.problems],
        "notes": [_as_dict(note) for note in report.findings.notes],
        "missing_tools": list(report.missing_tools),
    }
    return json.dumps(told, indent=2, ensure_ascii=False)


def _as_dict(finding: Finding) -> dict[str, Any]:
    return {"file": str(finding.path), "line": finding.line or None, "message": finding.message}
