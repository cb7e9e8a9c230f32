"""Figures of a run, and how they are printed: as a table for people, Markdown for the README, JSON for machines."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Literal

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One measured thing: a name and its values in the section's unit, one a round; ``note`` says what is special."""

    name: str
    values: tuple[float, ...]
    note: str = ""

    @property
    def median(self) -> float:
        """Median over the rounds."""
        return median(self.values)


@dataclass(frozen=True)
class Target:
    """A goal, what was measured, and on which side of the limit it has to be."""

    name: str
    value: float
    limit: float
    side: Literal["at least", "at most"]
    unit: str

    @property
    def met(self) -> bool:
        """Whether the measured value is on the right side."""
        return self.value >= self.limit if self.side == "at least" else self.value <= self.limit


@dataclass(frozen=True)
class Section:
    """Figures that belong together, in one unit, with their targets; ratios are to the figure named ``base``.

    All figures have the same number of rounds, and a round measures each of them once, one after the other.
    """

    title: str
    unit: str
    figures: tuple[Figure, ...]
    base: str
    targets: tuple[Target, ...] = field(default=())

    def figure(self, name: str) -> Figure:
        """The figure of that name; raises ``KeyError`` when there is none."""
        return {figure.name: figure for figure in self.figures}[name]

    def ratio(self, name: str, other: str) -> float:
        """Median over the rounds of one figure divided by the other.

        Within a round, so that what slows the whole machine for a while changes both.
        """
        values, others = self.figure(name).values, self.figure(other).values
        return median(value / other for value, other in zip(values, others, strict=True))

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """Name, median, range, ratio to the base and note of each figure."""
        return [
            (
                figure.name,
                number(figure.median),
                f"{number(min(figure.values))} - {number(max(figure.values))}",
                f"{self.ratio(figure.name, self.base):.3g}",
                figure.note,
            )
            for figure in self.figures
        ]


def number(value: float) -> str:
    """A measured value with three or four digits, thousands apart."""
    return f"{value:,.0f}".replace(",", " ") if abs(value) >= 100 else f"{value:.3g}"


def print_sections(console: Console, sections: Sequence[Section]) -> None:
    """Print tables, and each section's targets below it."""
    for section in sections:
        table = Table(title=f"{section.title}; ratio to {section.base}", title_justify="left", title_style="bold")
        table.add_column("", no_wrap=True)
        for heading in (f"median, {section.unit}", "range", "ratio"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("")
        for row in section.rows():
            table.add_row(*row)
        console.print(table)
        for target in section.targets:
            style = "green" if target.met else "red"
            console.print(
                f"  [{style}]{'met   ' if target.met else 'MISSED'}[/] {target_text(target)}", highlight=False
            )
        console.print()


def target_text(target: Target) -> str:
    """A target in words, with what was measured."""
    return f"{target.name}: {number(target.value)}{target.unit} ({target.side} {number(target.limit)}{target.unit})"


def markdown(sections: Sequence[Section]) -> str:
    """The same as Markdown tables."""
    lines = []
    for section in sections:
        lines += [f"### {section.title}", ""]
        lines += [f"| | median, {section.unit} | range | to {section.base} | |", "|---|---:|---:|---:|---|"]
        lines += ["| " + " | ".join(row) + " |" for row in section.rows()]
        lines += ["", *(f"- {'met' if t.met else '**missed**'}: {target_text(t)}" for t in section.targets), ""]
    return "\n".join(lines)


def as_json(sections: Sequence[Section]) -> list[dict[str, object]]:
    """The same as plain data, with every round's value."""
    result = []
    for section in sections:
        data = asdict(section)
        for figure, source in zip(data["figures"], section.figures, strict=True):
            figure["median"] = source.median
            figure["ratio"] = section.ratio(source.name, section.base)
        for target, goal in zip(data["targets"], section.targets, strict=True):
            target["met"] = goal.met
        result.append(data)
    return result
