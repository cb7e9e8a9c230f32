"""Draw the pictures of tour.md from a running demo: ``python docs/tour_pictures.py --help``.

Asks a Prometheus and an inbox, and writes SVG. To be run after the tour's fault: the hour before now is drawn.
"""

import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import click
from charts import DAY, GAP, HOUR, SMALL, WIDTH, Panel, Source, charts, drawing, fetched, share

IMAGES = Path(__file__).parent / "images"


def dollars(value: float) -> str:
    """Return an amount as people write it."""
    return f"${value:,.2f}"


def plain(value: float) -> str:
    """Return a number without what it does not need."""
    return f"{value:.3g}"


def seconds(value: float) -> str:
    """Return a duration."""
    return f"{value:.3g} s"


def mode(labels: tuple[str, ...]) -> str:
    """Return the legend of a series by mode."""
    return f"mode {labels[-1]}"


WEEK = (
    Panel("Requests per second", "sum(service:genai_requests:rate5m)", 7 * DAY, 1800, plain, lambda _: "all modes"),
    Panel(
        "Cost per hour",
        "sum(service:genai_llm_cost_usd:increase1h)",
        7 * DAY,
        1800,
        dollars,
        lambda _: "dollars in the hour before",
    ),
)
LOOK = (
    Panel("Requests per second, by mode", "sum by (mode) (service_mode:genai_workflows:rate5m)", HOUR, 30, plain, mode),
    Panel(
        "Cache hit rate",
        "avg by (cache) (service_cache:genai_cache_hits_per_lookup:ratio_rate15m)",
        HOUR,
        30,
        share,
        limit='max(service_cache:genai_threshold_cache_hit_ratio:effective{severity="warning"})',
    ),
    Panel(
        "Cost per hour, by model",
        "sum by (model) (rate(instance_service_mode_model:genai_llm_cost_usd_total:sum[5m])) * 3600 > 0.01",
        HOUR,
        30,
        dollars,
    ),
    Panel(
        "Mean quality score, by mode",
        "avg by (mode) (service_mode:genai_quality_score:mean_rate30m)",
        HOUR,
        30,
        plain,
        mode,
    ),
)
FAULT = (
    Panel(
        "p95 of workflow duration, by mode",
        "max by (mode) (service_mode:genai_workflow_duration_seconds:p95_rate5m)",
        HOUR // 3,
        15,
        seconds,
        mode,
        limit='max(service_mode:genai_threshold_workflow_latency_p95_seconds:effective{severity="warning"})',
        alert="GenAIHighLatency",
    ),
    Panel(
        "p95 of calls to models, by mode",
        "max by (mode) (service_mode:genai_llm_call_duration_seconds:p95_rate5m)",
        HOUR // 3,
        15,
        seconds,
        mode,
        alert="GenAIHighLatency",
    ),
)


def inbox(url: str, alert: str) -> str:
    """Return the newest message in the inbox about an alert, as Slack would show it."""
    messages = [
        attachment
        for message in sorted(fetched(f"{url.rstrip('/')}/messages")["slack"], key=lambda each: -each["number"])
        for attachment in message["attachments"]
        if attachment["footer"].startswith(alert)
    ]
    if not messages:
        raise click.ClickException(f"the inbox has no message about {alert} yet; its page says what it has")
    message = messages[0]
    said = "".join(part[1] for part in message["text"] if part[0] == "text").strip()
    links = "   ".join(part[2] for part in message["text"] if part[0] == "link")
    width, left = 2 * WIDTH + GAP, 22
    lines = [line for paragraph in said.splitlines() for line in textwrap.wrap(paragraph, 125)]
    height = 70 + 18 * len(lines)
    parts = [
        f"<rect x='{GAP}' y='{GAP}' width='{width}' height='{height}' rx='4' fill='#fff' stroke='#ddd'/>",
        f"<rect x='{GAP}' y='{GAP}' width='5' height='{height}' fill='{escape(message['color'])}'/>",
        f"<text x='{GAP + left}' y='{GAP + 24}' font-size='14' font-weight='bold' fill='#1264a3'>"
        f"{escape(message['title'])}</text>",
    ]
    for index, line in enumerate(lines):
        parts.append(
            f"<text x='{GAP + left}' y='{GAP + 46 + 18 * index}' font-size='13' fill='#222'>{escape(line)}</text>"
        )
    below = GAP + 46 + 18 * len(lines)
    parts.append(
        f"<text x='{GAP + left}' y='{below}' font-size='12' fill='#1264a3' xml:space='preserve'>{escape(links)}</text>"
    )
    parts.append(
        f"<text x='{GAP + width - 12}' y='{below}' {SMALL} text-anchor='end'>{escape(message['footer'])}</text>"
    )
    return drawing(parts, width + 2 * GAP, height + 2 * GAP, f"The notification of {alert} in the inbox")


@click.command()
@click.option("--prometheus", "url", required=True, metavar="URL", help="Of the demo, after the tour's fault.")
@click.option("--inbox", "inbox_url", metavar="URL", help="Of the demo; without it that picture is left as it is.")
@click.option("--only", multiple=True, type=click.Choice(["week", "look", "fault", "inbox"]), help="By default all.")
@click.option(
    "--to", "folder", type=click.Path(file_okay=False, path_type=Path), default=IMAGES, help="Folder to write."
)
def main(url: str, inbox_url: str | None, only: tuple[str, ...], folder: Path) -> None:
    """Draw the pictures of the tour."""
    source = Source(url, time.time())
    drawn: dict[str, Callable[[], str]] = {
        "week": lambda: charts(WEEK, source, "A week of the demo"),
        "look": lambda: charts(LOOK, source, "The demo in the last hour"),
        "fault": lambda: charts(FAULT, source, "The fault latency and the alert that it raised"),
    }
    if inbox_url is not None:
        drawn["inbox"] = lambda: inbox(inbox_url, "GenAIHighLatency")
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in drawn.items():
        if not only or name in only:
            path = folder / f"tour-{name}.svg"
            path.write_text(draw())
            click.echo(f"wrote {path}")


if __name__ == "__main__":
    main()
