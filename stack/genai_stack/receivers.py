"""Where the alerts of a native run go: real receivers as far as they have secrets, else the local inbox."""

import sys
from collections.abc import Sequence

from genai_stack import REPOSITORY, notifications
from genai_stack.children import Service
from genai_stack.layout import Layout

_WITHOUT_GRAFANA = "docs/without-grafana.md#"
"""Page of the inbox where links to dashboards lead without Grafana; the dashboard's path becomes a fragment of it."""


def write(layout: Layout, *, grafana: bool) -> notifications.Written:
    """Write Alertmanager's configuration; what has no secret goes to the inbox of this run. Raises ``ValueError``.

    ``grafana``: whether it runs, so that links to dashboards can lead there.
    """
    url = layout.url("inbox").rstrip("/")
    dashboards = layout.url("grafana").rstrip("/") if grafana else layout.url("inbox") + _WITHOUT_GRAFANA
    links = {notifications.RUNBOOKS: url, notifications.GRAFANA: dashboards}
    inbox = notifications.Inbox(url, layout.address("inbox_smtp"))
    return notifications.write(layout.run / "secrets" / "alertmanager", inbox, links)


def inbox(layout: Layout) -> Service:
    """The local inbox, which shows what would have been sent to people."""
    return Service(
        "inbox",
        (
            sys.executable,
            "-m",
            "inbox",
            f"--listen={layout.address('inbox')}",
            f"--smtp-listen={layout.address('inbox_smtp')}",
            f"--docs={REPOSITORY / 'docs'}",
        ),
        ready_url=layout.url("inbox") + "-/ready",
        url=layout.url("inbox"),
    )


def note(to_inbox: Sequence[str]) -> str:
    """Line for people: what lands in the inbox, and where it says how to change that."""
    return f"{', '.join(to_inbox)}: sent to the inbox, as there is no secret yet (docs/notifications.md)."
