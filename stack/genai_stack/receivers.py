"""Where the alerts of a native run go: real receivers as far as they have secrets, else the local inbox."""

import sys
from collections.abc import Sequence

from genai_stack import REPOSITORY, notifications
from genai_stack.children import Service
from genai_stack.layout import Layout


def write(layout: Layout) -> notifications.Written:
    """Write Alertmanager's configuration; what has no secret goes to the inbox of this run. Raises ``ValueError``."""
    url = layout.url("inbox").rstrip("/")
    links = {notifications.RUNBOOKS: url, notifications.GRAFANA: layout.url("grafana").rstrip("/")}
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
