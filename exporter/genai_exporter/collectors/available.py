"""Every collector that there is beside the applications, in the order of the scrape."""

from collections.abc import Callable

from genai_exporter.collectors.exporter import reserved_names
from genai_exporter.collectors.families import Collector
from genai_exporter.collectors.frame import Frame
from genai_exporter.collectors.gpu import GpuCollector
from genai_exporter.collectors.host import HostCollector
from genai_exporter.config import Config

AVAILABLE: tuple[tuple[str, Callable[[Config], Collector]], ...] = (
    ("host", lambda config: HostCollector(config.host_roots)),
    ("gpu", lambda config: GpuCollector()),
)
"""Name of each collector, and what makes it."""


def make_frame(config: Config) -> Frame:
    """Return the frame with the collectors that ``config`` switches on; they begin anew."""
    switched_on = [
        (make(config), config.collectors[name].timeout_seconds)
        for name, make in AVAILABLE
        if config.collectors[name].enabled
    ]
    return Frame(switched_on, reserved_names())
