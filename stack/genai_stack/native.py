"""The stack without containers: the same configuration files, run by programs of this machine.

Prometheus resolves the relative paths in its configuration against the folder of the configuration file. So
the run directory gets links to ``prometheus.yml`` and ``rules/``, and target files of its own beside them.
"""

import os
import shlex
from pathlib import Path

import yaml

from genai_metrics import catalog
from genai_stack import REPOSITORY, backfill, binaries, demo, places, receivers, secret
from genai_stack.children import Service
from genai_stack.layout import Layout
from genai_stack.ports import HOST

_JOBS = ("exporter", "prometheus", "alertmanager")
_OWN_JOBS = ("applications", "blackbox")
"""Jobs whose targets people add themselves: their files are kept."""

_WITHOUT_PAGE = ("prometheus-alertmanager",)
"""Names of Alertmanager where it is packaged without its web page, which is Debian's."""


def prepare(layout: Layout) -> None:
    """Create the run directory's folders, links and target files; data of earlier runs is kept."""
    # The metrics directory holds what an application says of its users: for the owner only, like its files.
    layout.metrics.mkdir(parents=True, exist_ok=True, mode=0o700)
    prometheus = layout.run / "prometheus"
    (prometheus / "targets").mkdir(parents=True, exist_ok=True)
    for name in ("prometheus.yml", "rules"):
        link = prometheus / name
        link.unlink(missing_ok=True)
        link.symlink_to(REPOSITORY / "prometheus" / name)
    for job in _JOBS:
        _replace(prometheus / "targets" / f"{job}.yml", yaml.safe_dump([{"targets": [layout.address(job)]}]))
    for job in _OWN_JOBS:
        file = prometheus / "targets" / f"{job}.yml"
        if not file.exists():
            _replace(file, (REPOSITORY / "prometheus" / "targets" / f"{job}.yml").read_text())


def _replace(path: Path, text: str) -> None:
    """Write a file whole: Prometheus watches target files and must never read half of one."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def exporter(layout: Layout) -> Service:
    """The exporter, from the environment that this Python belongs to."""
    return Service(
        "exporter",
        (
            str(places.program("genai-exporter")),
            "serve",
            f"--metrics-dir={layout.metrics}",
            f"--web.listen-address={layout.address('exporter')}",
        ),
        ready_url=layout.url("exporter") + "-/ready",
        url=layout.url("exporter"),
    )


def prometheus(layout: Layout, program: Path) -> Service:
    """Prometheus with the features that the bundle uses; Compose starts it with the same ones."""
    folder = layout.run / "prometheus"
    return Service(
        "prometheus",
        (
            str(program),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={layout.address('prometheus')}",
            f"--web.external-url={layout.url('prometheus')}",
            "--enable-feature=exemplar-storage,auto-reload-config,extra-scrape-metrics",
        ),
        ready_url=layout.url("prometheus") + "-/ready",
        url=layout.url("prometheus"),
    )


def alertmanager(layout: Layout, program: Path, config: Path) -> Service:
    """A single Alertmanager, without the cluster port that it would otherwise open to the network."""
    return Service(
        "alertmanager",
        (
            str(program),
            f"--config.file={config}",
            f"--storage.path={layout.run / 'alertmanager'}",
            f"--web.listen-address={layout.address('alertmanager')}",
            f"--web.external-url={layout.url('alertmanager')}",
            "--cluster.listen-address=",
            # Until Prometheus has sent all alerts again (each 75 s): else what was inhibited would be told at a start.
            "--dispatch.start-delay=90s",
        ),
        ready_url=layout.url("alertmanager") + "-/ready",
        url=layout.url("alertmanager"),
    )


def grafana(layout: Layout, program: Path, home: Path) -> Service:
    """Grafana, provisioned from the repository; its password is generated into the run directory."""
    folder = layout.run / "grafana"
    folder.mkdir(parents=True, exist_ok=True)
    password_file = layout.run / "secrets" / "grafana_admin_password"
    secret.private(password_file.parent)
    secret.password(password_file)
    subcommand = () if program.name == "grafana-server" else ("server",)
    dashboards = REPOSITORY / "grafana" / "dashboards"
    return Service(
        "grafana",
        (str(program), *subcommand, f"--homepath={home}"),
        env={
            "GF_SERVER_HTTP_ADDR": HOST,
            "GF_SERVER_HTTP_PORT": str(layout.ports["grafana"]),
            "GF_PATHS_DATA": str(folder),
            "GF_PATHS_LOGS": str(folder / "log"),
            "GF_PATHS_PLUGINS": str(folder / "plugins"),
            "GF_PATHS_PROVISIONING": str(REPOSITORY / "grafana" / "provisioning"),
            "GF_SECURITY_ADMIN_PASSWORD": f"$__file{{{password_file}}}",
            "GF_USERS_ALLOW_SIGN_UP": "false",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
            "GF_NEWS_NEWS_FEED_ENABLED": "false",
            "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": str(dashboards / "performance.json"),
            "GENAI_PROMETHEUS_URL": layout.url("prometheus").rstrip("/"),
            "GENAI_ALERTMANAGER_URL": layout.url("alertmanager").rstrip("/"),
            "GENAI_TRACES_URL": os.environ.get("GENAI_TRACES_URL", "http://127.0.0.1:16686/trace/"),
            "GENAI_DASHBOARDS": str(dashboards),
        },
        ready_url=layout.url("grafana") + "api/health",
        url=layout.url("grafana"),
    )


def grafana_home(program: Path) -> Path | None:
    """Folder with Grafana's own files for the program, or None when it cannot be found."""
    candidates = (program.resolve().parents[1], Path("/usr/share/grafana"))
    return next((home for home in candidates if (home / "conf" / "defaults.ini").is_file()), None)


def _without_grafana(layout: Layout) -> list[str]:
    """Reason, remedy, and a command that shows data; Debian's Prometheus has no web page, so it must do without one."""
    oldest = ".".join(map(str, binaries.PROGRAMS["grafana"].oldest))
    expression = f"sum by (model) (rate({catalog.LLM_CALL.metrics[0].name}[1m]))"
    return [
        f"Grafana is missing, so there are no dashboards: none of version {oldest} or newer was found.",
        f"{binaries.PROGRAMS['grafana'].remedy} Then run `make up` again. Until then, ask Prometheus:",
        f"  {_tool('promtool')} query instant {layout.url('prometheus')} '{expression}'",
    ]


def _without_silence_page(layout: Layout) -> list[str]:
    """A command in place of the form that silence links of notifications lead to."""
    return [
        "Silence links in notifications lead nowhere: Alertmanager as Debian packages it has no web page. Instead:",
        f"  {_tool('amtool')} --alertmanager.url={layout.url('alertmanager')} silence add alertname=GenAIHighLatency "
        "--duration=1h --comment=known",
    ]


def _tool(name: str) -> str:
    """A program as people type it here; the cache is not on PATH."""
    found = binaries.find(name)
    return shlex.quote(places.shown(found)) if found else name


def services(layout: Layout, with_demo: bool, report: binaries.Report) -> tuple[list[Service], list[str]]:
    """All services that this machine can run, and a line for each that it cannot, with the remedy.

    Fetches missing programs where possible; raises ``binaries.MissingServer`` when Prometheus or
    Alertmanager is missing for good. Grafana is optional.
    """
    binaries.fetch(["prometheus", "alertmanager", "promtool"], report=report)
    program = binaries.find("grafana")
    home = grafana_home(program) if program else None
    has_grafana = program is not None and home is not None
    written = receivers.write(layout, grafana=has_grafana)
    alerts = binaries.require("alertmanager")
    running = [
        exporter(layout),
        prometheus(layout, binaries.require("prometheus")),
        alertmanager(layout, alerts, written.config),
    ]
    notes: list[str] = []
    if written.to_inbox:
        running.append(receivers.inbox(layout))
        notes.append(receivers.note(written.to_inbox))
    notes[:0] = places.lines(layout.url, grafana=has_grafana, demo=with_demo, inbox=bool(written.to_inbox))
    if program and home:
        running.append(grafana(layout, program, home))
        notes.append(f"Grafana: user admin, password in {layout.run / 'secrets' / 'grafana_admin_password'}")
    else:
        notes += _without_grafana(layout)
    if alerts.name in _WITHOUT_PAGE:
        notes += _without_silence_page(layout)
    if with_demo:
        demo.prepare(layout)
        running += demo.services(layout)
        notes += _backfilled(layout, report)
        notes.append(places.next_step(demo.option(layout)))
    else:
        notes.append(places.recording(layout.metrics))
    return running, notes


def _backfilled(layout: Layout, report: binaries.Report) -> list[str]:
    """Give a new Prometheus a week of history; a demo without it is still one, so a failure is a line only."""
    data = layout.run / "prometheus" / "data"
    if not backfill.is_new(data):
        return []
    try:
        backfill.write(data, binaries.require("promtool"), layout.address("exporter"), report)
    except backfill.BackfillError as error:
        return [f"No history was written, so the dashboards begin now: {error}"]
    return []
