"""The dashboard "Health": is anything broken, and what; for those who run services and machines."""

from grafana_foundation_sdk.models import dashboard as models

from genai_dashboards import health_machine_panels as machine
from genai_dashboards import health_monitoring_panels as monitoring
from genai_dashboards import health_panels as panels
from genai_dashboards.frame import board
from genai_dashboards.layout import Heading, line, place


def build() -> models.Dashboard:
    """The whole dashboard: what is broken on top, then services, machines, GPUs and the monitoring itself."""
    return place(
        board(
            "health",
            "Alerts, dependencies, failures, connections, machines, GPUs, and the monitoring itself.",
            refresh="10s",
            alerts=".+",
        ),
        Heading("Is anything broken?"),
        line(
            4,
            panels.alerts(),
            panels.targets_down(),
            panels.dependencies_down(),
            panels.tool_success_now(),
            panels.retrieval_success_now(),
            panels.uptime(),
        ),
        line(7, panels.firing(), panels.dependencies(), widths=(15, 9)),
        Heading("What fails?"),
        line(8, panels.error_types(), panels.tool_success(), panels.retrieval_success()),
        line(8, panels.warnings(), panels.agents(), panels.quality()),
        Heading("Connections and processes"),
        line(8, panels.pools(), panels.connections(), panels.queues()),
        line(6, monitoring.services(), monitoring.builds()),
        Heading("Machines"),
        line(8, machine.cpu(), machine.memory(), machine.disk(), machine.network()),
        line(7, machine.cpu_modes(), machine.throttling(), machine.disk_traffic(), machine.descriptors()),
        Heading("GPUs"),
        line(8, machine.gpu_utilization(), machine.gpu_memory(), machine.gpu_power(), machine.gpu_temperature()),
        line(7, machine.gpu_throttling(), machine.gpu_errors(), machine.gpu_processes()),
        Heading("The monitoring itself"),
        line(7, monitoring.scrapes(), monitoring.collectors(), monitoring.collector_failures(), monitoring.series()),
        line(7, monitoring.files(), monitoring.overflow(), monitoring.faults()),
    ).build()
