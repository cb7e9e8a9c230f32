"""The selections on top of a dashboard."""

from collections.abc import Mapping

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models

from genai_dashboards import queries
from genai_dashboards.style import DATASOURCE


def datasource() -> dashboard.DatasourceVariable:
    """Which Prometheus answers."""
    return dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")


def service() -> dashboard.QueryVariable:
    """Every service that has recorded LLM calls, workflows or scores."""
    return several("service", "Service", queries.label_values(queries.SUBJECTS, "service"))


def mode() -> dashboard.QueryVariable:
    """Every mode of the selected services."""
    return several("mode", "Mode", queries.label_values(queries.SUBJECTS, "mode", queries.SERVICE))


def several(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """Values of a label: several at once, all of them at first; looked up again when the time range changes."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(models.VariableOption(text="All", value="$__all", selected=True))
    )


def by_range(name: str, values: Mapping[str, str]) -> dashboard.QueryVariable:
    """A hidden variable with one of the values ``fine`` and ``sparse``, as the time range has it; see ``queries``."""
    return (
        _Unlisted(name)
        .hide(models.VariableHide.HIDE_VARIABLE)
        .datasource(DATASOURCE)
        .query(queries.by_range(values, name))
        .regex(f'/{name}="([^"]+)"/')
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .current(models.VariableOption(text=values["fine"], value=values["fine"]))
    )


class _Unlisted(dashboard.QueryVariable):
    """A variable that no address of a page tells: Grafana would keep its value from there, whatever the time range."""

    def build(self) -> models.VariableModel:
        """The variable."""
        built = super().build()
        built.skip_url_sync = True
        return built
