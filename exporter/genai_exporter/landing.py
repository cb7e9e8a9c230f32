"""The page at ``/``: what is collected, from whom, and what to do next; no scripts, no outside files.

Turns values into text only; every value from outside is escaped.
"""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from string import Template

from genai_exporter.collectors.exporter import APPLICATIONS, Outcome
from genai_metrics.catalog import BLOCK_KINDS, EXPORTER_METRICS, GPU_METRICS, HOST_METRICS, OVERFLOW, MetricSpec

_STATES = {
    "live": "of living processes",
    "dead": "of ended processes, not yet folded",
    "folded": "of ended processes, folded into the archive",
    "partial": "read in part: they hold blocks of another release",
    "rejected": "refused: they cannot be read",
}
_TROUBLE = frozenset(("partial", "rejected"))
_COLLECTS = {
    APPLICATIONS: "what applications recorded",
    "host": "this machine or container",
    "gpu": "NVIDIA GPUs",
}
_FAMILIES: tuple[tuple[str, tuple[MetricSpec, ...]], ...] = (
    ("Applications", tuple(dict.fromkeys(metric for kind in BLOCK_KINDS for metric in kind.metrics))),
    ("The host", HOST_METRICS),
    ("GPUs", GPU_METRICS),
    ("The exporter itself", EXPORTER_METRICS),
)


@dataclass(frozen=True)
class Page:
    """What the page shows.

    ``outcome`` is the last scrape's, None before the first; ``age`` the seconds since its end. ``directory``
    is the metrics directory, ``address`` the host and port that the reader used. ``old_config``: whether the
    configuration file could not be read again, so that an older one is in force.
    """

    outcome: Outcome | None
    age: float
    directory: str
    address: str
    version: str
    python: str
    old_config: bool = False


def render(page: Page) -> str:
    """Return the HTML document."""
    return _DOCUMENT.substitute(
        style=_STYLE,
        state=_state(page) + (_OLD_CONFIG if page.old_config else ""),
        collectors=_collectors(page),
        services=_services(page),
        files=_files(page),
        merged=_merged(page),
        first_steps=_FIRST_STEPS.substitute(
            directory=escape(shlex.quote(page.directory)), address=escape(page.address)
        ),
        opened="" if _has_series(page) else " open",
        families=_families(),
        directory=escape(page.directory),
        version=escape(page.version),
        python=escape(page.python),
    )


def _has_series(page: Page) -> bool:
    return page.outcome is not None and page.outcome.totals is not None and page.outcome.totals.series > 0


def _state(page: Page) -> str:
    outcome = page.outcome
    if outcome is None:
        return '<p class="note">The metrics directory has not been read yet.</p>'
    if outcome.totals is None:
        reason = escape(outcome.error or "")
        return (
            f'<p class="note bad"><strong>The last scrape failed:</strong> {reason}. '
            "No application series are served until this is mended.</p>"
        )
    totals = outcome.totals
    processes = sum(totals.processes.values())
    figures = (
        (f"{totals.series:,}", "series"),
        (f"{len(totals.processes):,}", "service" if len(totals.processes) == 1 else "services"),
        (f"{processes:,}", "living process" if processes == 1 else "living processes"),
        (escape(_duration(_longest(outcome))), f"last scrape, {_age(page.age)}"),
    )
    cells = "".join(f"<div><b>{value}</b><span>{label}</span></div>" for value, label in figures)
    note = ""
    if totals.series == 0:
        note = '<p class="note">No application has recorded anything here yet: see <em>First steps</em>.</p>'
    return f'<div class="figures">{cells}</div>{note}'


def _services(page: Page) -> str:
    if page.outcome is None or page.outcome.totals is None or not page.outcome.totals.processes:
        ended = "None is running now. What ended processes recorded is still served."
        return f'<p class="quiet">{ended if _has_series(page) else "None yet."}</p>'
    started = page.outcome.totals.started
    rows = (
        (
            escape(service),
            f"{count:,}",
            _span(page.outcome.ended - started[service]) if count and service in started else "none lives",
        )
        for service, count in sorted(page.outcome.totals.processes.items())
    )
    return _table(("Service", "Processes", "Oldest has recorded for"), rows)


def _longest(outcome: Outcome) -> float:
    """Return how long the scrape took: collectors run side by side."""
    return max(outcome.duration, *(one.duration for one in outcome.collected), 0.0)


def _collectors(page: Page) -> str:
    """Say how each collector fared; what is switched off is not there."""
    if page.outcome is None:
        return '<p class="quiet">None has run yet.</p>'
    runs = [(APPLICATIONS, page.outcome.duration, page.outcome.error)]
    runs += [(one.name, one.duration, one.error) for one in page.outcome.collected]
    rows = (
        (
            f'<code>{escape(name)}</code> <span class="quiet">{escape(_COLLECTS.get(name, ""))}</span>',
            "works" if error is None else f'<strong class="bad">failed:</strong> {escape(error)}',
            escape(_duration(duration)).replace(" ", "&nbsp;"),
        )
        for name, duration, error in runs
    )
    return _table(("Collector", "State", "Took"), rows)


def _files(page: Page) -> str:
    if page.outcome is None or page.outcome.totals is None:
        return ""
    files = page.outcome.totals.files
    rows = []
    for state, count in {**{known: files[known] for known in _STATES if known in files}, **files}.items():
        label = escape(_STATES.get(state, state))
        if count and state in _TROUBLE:
            label = f'<strong class="bad">{label}</strong>'
        rows.append((label, f"{count:,}"))
    return _table(("Files", "Count"), rows)


def _merged(page: Page) -> str:
    """Say which labels have more values than their caps allow; nothing while none has."""
    if page.outcome is None or page.outcome.totals is None or not page.outcome.totals.merged:
        return ""
    rows = (
        (escape(service), f"<code>{escape(label)}</code>", f"{count:,}")
        for (service, label), count in sorted(page.outcome.totals.merged.items())
    )
    remedy = (
        f"These are counted under <code>{OVERFLOW}</code>, so sums are right and details are missing. "
        "Find out why there are so many, or raise <code>label_caps</code> here and in the applications."
    )
    table = _table(("Service", "Label", "Values merged"), rows)
    return f'<section><h2>Labels beyond their caps</h2><p class="quiet">{remedy}</p>{table}</section>'


def _families() -> str:
    return "".join(
        f"<h3>{title}</h3>"
        + _table(
            ("Metric", "Type", "Meaning"),
            ((f"<code>{escape(spec.name)}</code>", escape(spec.type), escape(spec.help)) for spec in specs),
        )
        for title, specs in _FAMILIES
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Join cells that are HTML already."""
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    titles = "".join(f"<th>{title}</th>" for title in head)
    return f'<div class="wide"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def _duration(seconds: float) -> str:
    """Write a scrape's duration in the unit that a person would choose."""
    if seconds < 0.001:
        return "< 1 ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _age(seconds: float) -> str:
    """Say how long ago; a clock that was set back makes it now."""
    if seconds < 1:
        return "just now"
    return f"{seconds:.0f} s ago" if seconds < 120 else f"{seconds / 60:.0f} min ago"


def _span(seconds: float) -> str:
    """Write how long something has lasted, in whole units."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


_OLD_CONFIG = (
    '<p class="note bad"><strong>The configuration file could not be taken over:</strong> the one before is still in '
    "force. The log says why.</p>"
)

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2230; --soft: #5d6679; --line: #dfe3ea; --card: #fff;
  --page: #f5f6f9; --accent: #b4430f; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #9aa4b8; --line: #2e3544;
  --card: #1a1f2a; --page: #11151d; --accent: #ff9a5c; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.25rem 3rem; }
h1 { margin: 0; font-size: 1.6rem; }
h2 { margin: 0 0 .5rem; font-size: 1.05rem; }
h3 { margin: 1.2rem 0 .3rem; font-size: .95rem; }
a { color: var(--accent); }
nav { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; margin: 1rem 0 1.5rem; }
section, details { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: 1rem 1.25rem; margin: 0 0 1rem; min-width: 0; }
.wide { overflow-x: auto; }
summary { cursor: pointer; font-weight: 600; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: 1rem;
  margin: 0 0 1rem; }
.figures div { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: .8rem 1.25rem; }
.figures b { display: block; font-size: 1.6rem; font-variant-numeric: tabular-nums; }
.figures span, .quiet, footer { color: var(--soft); font-size: .9rem; }
.note { background: var(--card); border-left: .3rem solid var(--accent); border-radius: .3rem;
  padding: .7rem 1rem; }
.note.bad { border-color: var(--bad); }
.bad { color: var(--bad); }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 0 1rem; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th { text-align: left; font-weight: 600; color: var(--soft); }
th, td { padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
td code { white-space: nowrap; }
td .quiet { display: block; }
@media (max-width: 40rem) {
  .families thead { display: none; }
  .families tr { display: block; padding: .4rem 0; border-bottom: 1px solid var(--line); }
  .families td { display: block; padding: 0; border: 0; }
  .families td code { white-space: normal; }
}
code, pre { font: .88em/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { background: var(--page); border-radius: .4rem; padding: .7rem .9rem; overflow-x: auto; }
"""

_FIRST_STEPS = Template("""<ol>
<li>Point the application at the directory that this exporter reads, and name the service that it is:
<pre>export GENAI_METRICS_DIR=$directory
export GENAI_SERVICE_NAME=chat</pre></li>
<li>Record its calls:
<pre>from genai_metrics import track_llm_call

track_llm_call(mode="1", model="gpt-4", input_tokens=1000, output_tokens=500)</pre></li>
<li>Let Prometheus scrape this exporter; rules and dashboards rely on the job's name and on <code>honor_labels</code>:
<pre>scrape_configs:
  - job_name: genai-exporter
    honor_labels: true
    scrape_interval: 15s
    static_configs:
      - targets: ["$address"]</pre></li>
</ol>""")

_DOCUMENT = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>genai-exporter</title>
<style>$style</style>
</head>
<body>
<main>
<h1>genai-exporter</h1>
<div>Prometheus metrics of LLM, RAG and agent workflows, from <code>$directory</code></div>
<nav><a href="metrics">Metrics</a> <a href="-/healthy">Healthy?</a> <a href="-/ready">Ready?</a></nav>
$state
<section><h2>Services</h2>$services</section>
<div class="columns">
<section><h2>Collectors</h2>$collectors</section>
<section><h2>Metrics directory</h2>$files</section>
</div>
$merged
<details$opened><summary>First steps</summary>$first_steps</details>
<details class="families"><summary>What is collected</summary>$families</details>
<footer>genai-exporter $version on Python $python</footer>
</main>
</body>
</html>
""")
