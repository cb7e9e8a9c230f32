"""Line charts of a Prometheus's answers, as SVG. Standard library and click only."""

import json
import math
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

import click

from genai_stack.children import OPENER

COLOURS = ("#3274d9", "#56a64b", "#e0752d", "#8f3bb8", "#e02f44", "#737373")
FONT = "font-family='Helvetica,Arial,sans-serif'"
WIDTH, HEIGHT, GAP = 460, 230, 16
SMALL = "font-size='10' fill='#555'"
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 34, 44
HOUR, DAY = 3600, 86400
Points = list[tuple[float, float]]


class Source:
    """One Prometheus, asked for the time up to ``now``."""

    def __init__(self, url: str, now: float) -> None:
        self.url, self.now = url.rstrip("/"), now

    def series(self, expression: str, seconds: int, step: int) -> dict[tuple[str, ...], Points]:
        """Return the points of each series of an expression, by the values of its labels."""
        end = self.now // step * step
        asked = {"query": expression, "start": end - seconds, "end": end, "step": step}
        answer = fetched(f"{self.url}/api/v1/query_range?{urllib.parse.urlencode(asked)}")
        return {
            tuple(value for _, value in sorted(found["metric"].items())): [
                (float(at), float(value)) for at, value in found["values"] if math.isfinite(float(value))
            ]
            for found in answer["data"]["result"]
        }


def fetched(url: str) -> Any:
    """Return the JSON at a loopback address; raises ``OSError``."""
    with OPENER.open(url, timeout=30) as answer:
        return json.load(answer)


@dataclass(frozen=True)
class Panel:
    """One chart: ``expression`` over ``seconds``; ``limit`` is drawn as a dashed line, ``alert`` as shades."""

    title: str
    expression: str
    seconds: int
    step: int
    shown: Callable[[float], str]
    named: Callable[[tuple[str, ...]], str] = " ".join
    limit: str = ""
    alert: str = ""


def share(value: float) -> str:
    """Return a ratio in percent."""
    return f"{100 * value:.0f} %"


def nice_step(most: float, lines: int = 4) -> float:
    """Return a round distance between grid lines, so that about ``lines`` reach up to ``most``."""
    rough = max(most, 1e-9) / lines
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)


def chart(panel: Panel, source: Source, x: float, y: float) -> str:
    """Return the SVG of one panel, with its corner at ``x``, ``y``."""
    found = source.series(panel.expression, panel.seconds, panel.step)
    shown = sorted(
        ((panel.named(labels), points) for labels, points in found.items() if points), key=lambda each: each[0]
    )
    if not shown:
        raise click.ClickException(f"Prometheus has nothing for {panel.title!r}: {panel.expression}")
    shown = sorted(shown, key=lambda each: -max(value for _, value in each[1]))[: len(COLOURS)]
    limits = (
        [value for points in source.series(panel.limit, 60, 60).values() for _, value in points[-1:]]
        if panel.limit
        else []
    )
    most = max([value for _, points in shown for _, value in points] + limits) * 1.05
    step = nice_step(most)
    top = math.ceil(most / step) * step
    if panel.shown is share:
        step, top = 0.25, 1.0
    end, width, height = source.now, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def across(at: float) -> float:
        return LEFT + width * (1 - (end - at) / panel.seconds)

    def up(value: float) -> float:
        return TOP + height * (1 - value / top)

    out = [
        f"<g transform='translate({x} {y})'><rect width='{WIDTH}' height='{HEIGHT}' rx='4' fill='#fff' stroke='#ddd'/>"
    ]
    out.append(f"<text x='12' y='21' font-size='13' font-weight='bold' fill='#222'>{escape(panel.title)}</text>")
    for state, colour in (("pending", "#f2cc0c"), ("firing", "#e02f44")):
        out += shades(panel, source, state, colour, across, height)
    for index in range(round(top / step) + 1):
        at = up(index * step)
        out.append(f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{at:.1f}' y2='{at:.1f}' stroke='#eee'/>")
        out.append(
            f"<text x='{LEFT - 6}' y='{at + 4:.1f}' {SMALL} text-anchor='end'>{panel.shown(index * step)}</text>"
        )
    for at, text in ticks(end, panel.seconds):
        out.append(f"<text x='{across(at):.1f}' y='{HEIGHT - BOTTOM + 15}' {SMALL} text-anchor='middle'>{text}</text>")
    for value in limits:
        out.append(
            f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{up(value):.1f}' y2='{up(value):.1f}' stroke='#e0752d' "
            "stroke-dasharray='6 4'/>"
        )
        out.append(f"<text x='{LEFT + 4}' y='{up(value) - 4:.1f}' {SMALL}>warning</text>")
    legend = float(LEFT)
    for colour, (name, points) in zip(COLOURS, shown, strict=False):
        for part in unbroken(points, panel.step):
            line = " ".join(f"{across(at):.1f},{up(value):.1f}" for at, value in part)
            out.append(f"<polyline points='{line}' fill='none' stroke='{colour}' stroke-width='1.6'/>")
        out.append(f"<rect x='{legend}' y='{HEIGHT - 17}' width='10' height='3' fill='{colour}'/>")
        out.append(f"<text x='{legend + 14}' y='{HEIGHT - 12}' {SMALL}>{escape(name)}</text>")
        legend += 24 + 5.6 * len(name)
    return "\n".join([*out, "</g>"])


def shades(
    panel: Panel, source: Source, state: str, colour: str, across: Callable[[float], float], height: float
) -> list[str]:
    """Return a shade for the time in which the panel's alert was in a state, and its name."""
    if not panel.alert:
        return []
    asked = f'max(ALERTS{{alertname="{panel.alert}", alertstate="{state}"}})'
    if state == "pending":
        asked += f' unless max(ALERTS{{alertname="{panel.alert}", alertstate="firing"}})'
    out = []
    for points in source.series(asked, panel.seconds, panel.step).values():
        for part in unbroken(points, panel.step):
            left, right = across(part[0][0]), across(min(part[-1][0] + panel.step, source.now))
            out.append(
                f"<rect x='{left:.1f}' y='{TOP}' width='{right - left:.1f}' height='{height}' fill='{colour}' "
                f"fill-opacity='.14'/><text x='{left + 3:.1f}' y='{TOP + 11}' {SMALL}>{state}</text>"
            )
    return out


def unbroken(points: Points, step: int) -> list[Points]:
    """Return the stretches of a series without a gap."""
    parts: list[Points] = []
    for point in points:
        if parts and point[0] - parts[-1][-1][0] <= 1.5 * step:
            parts[-1].append(point)
        else:
            parts.append([point])
    return parts


def ticks(end: float, length: int) -> list[tuple[float, str]]:
    """Return the times below a chart: midnights of a week, else every quarter or tenth minute (UTC)."""
    every, form = (DAY, "%d %b") if length > DAY else (900, "%H:%M") if length > 1800 else (300, "%H:%M")
    first = math.ceil((end - length) / every) * every
    moments = [first + index * every for index in range(int((end - first) // every) + 1)]
    return [
        (at, datetime.fromtimestamp(at, UTC).strftime(form))
        for at in moments
        if end - length * 0.96 < at < end - length * 0.02
    ]


def drawing(parts: Sequence[str], width: float, height: float, title: str) -> str:
    """Return a whole SVG file."""
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:g} {height:g}' width='{width:g}' {FONT}>\n"
        f"<title>{escape(title)}</title>\n<rect width='100%' height='100%' fill='#f4f5f5'/>\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def charts(panels: Sequence[Panel], source: Source, title: str) -> str:
    """Return panels side by side, two in a row."""
    parts = [
        chart(panel, source, GAP + (WIDTH + GAP) * (index % 2), GAP + (HEIGHT + GAP) * (index // 2))
        for index, panel in enumerate(panels)
    ]
    rows = math.ceil(len(panels) / 2)
    return drawing(parts, 2 * WIDTH + 3 * GAP, rows * (HEIGHT + GAP) + GAP, title)
