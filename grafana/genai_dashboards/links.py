"""Ways from one dashboard to another, which keep the time range and the selections."""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models

TOPICS = {"performance": "Performance", "cache": "Cache", "cost": "Cost", "health": "Health"}
"""Title of each dashboard by its topic, in the order of the links."""


def uid(topic: str) -> str:
    """Identifier in the address of a dashboard; never changes, because alerts and bookmarks use it."""
    return f"genai-{topic}"


def to_others(topic: str) -> list[dashboard.DashboardLink]:
    """Links on top of a dashboard to each of the others."""
    return [
        dashboard.DashboardLink(TOPICS[other])
        .type(models.DashboardLinkType.LINK)
        .icon("dashboard")
        .tooltip(f"{TOPICS[other]} of the same services and modes in the same time range")
        .url(f"/d/{uid(other)}")
        .include_vars(True)
        .keep_time(True)
        for other in TOPICS
        if other != topic
    ]


def on_row(topic: str, **columns: str) -> dict[str, object]:
    """Link of a table's cell to a dashboard, each variable set to the row's value in the column named.

    Selections that no column names stay as they are; Grafana encodes what it puts into the address.
    """
    kept = [f"${{{name}:queryparam}}" for name in ("datasource", "service", "mode") if name not in columns]
    taken = [f'var-{name}=${{__data.fields["{column}"]}}' for name, column in columns.items()]
    return {
        "title": f"{TOPICS[topic]} of this row alone",
        "url": f"/d/{uid(topic)}?{'&'.join([*kept, *taken, '${__url_time_range}'])}",
        "targetBlank": False,
    }
