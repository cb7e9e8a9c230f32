"""Where panels stand: lines of panels, one below the other, that fill the 24 columns without a hole."""

from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models

COLUMNS = 24

Panel = Builder[models.Panel]
"""What the functions of ``panels`` and ``tables`` return."""


@dataclass(frozen=True)
class Heading:
    """A title across the dashboard, under which lines can be folded away."""

    title: str


@dataclass(frozen=True)
class Line:
    """Panels side by side, all ``height`` grid units high (one is about 38 pixels)."""

    height: int
    panels: tuple[Panel, ...]
    widths: tuple[int, ...]


def line(height: int, *panels: Panel, widths: tuple[int, ...] = ()) -> Line:
    """Panels side by side, equally wide unless ``widths`` says otherwise; ``ValueError`` unless they fill the line."""
    shares = widths or (COLUMNS // len(panels),) * len(panels)
    if len(shares) != len(panels) or sum(shares) != COLUMNS:
        raise ValueError(f"{len(panels)} panels of widths {shares}: they must fill {COLUMNS} columns")
    return Line(height, panels, shares)


class _Placed(Builder[models.Panel]):
    """A panel with its place; the SDK would find one by itself, but may leave holes."""

    def __init__(self, panel: Panel, place: models.GridPos) -> None:
        self._panel, self._place = panel, place

    def build(self) -> models.Panel:
        """The panel, placed."""
        panel = self._panel.build()
        panel.grid_pos = self._place
        return panel


def place(board: dashboard.Dashboard, *parts: Heading | Line) -> dashboard.Dashboard:
    """Return the dashboard with headings and lines from top to bottom."""
    y = 0
    for part in parts:
        match part:
            case Heading(title):
                board.with_row(dashboard.Row(title).grid_pos(models.GridPos(h=1, w=COLUMNS, x=0, y=y)))
                y += 1
            case Line(height, panels, widths):
                x = 0
                for panel, width in zip(panels, widths, strict=True):
                    board.with_panel(_Placed(panel, models.GridPos(h=height, w=width, x=x, y=y)))
                    x += width
                y += height
    return board
