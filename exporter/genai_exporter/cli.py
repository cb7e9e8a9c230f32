"""The command ``genai-exporter`` and its part ``serve``: options, their precedence, errors and exit codes.

Exit codes of ``serve``: 0 after SIGTERM or SIGINT, 1 when it cannot serve (address, directory), 2 when told wrongly.
"""

import logging
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from genai_exporter import config as configuration
from genai_exporter import logfmt
from genai_exporter.aggregate import Applications
from genai_exporter.collectors.available import make_frame
from genai_exporter.collectors.exporter import exporter_version
from genai_exporter.directory import DirectoryError, refusal
from genai_exporter.reload import Reloader, hold_hangups, reload_on_hangup
from genai_metrics.yamlvalues import YamlError, nearest

try:
    import click

    from genai_exporter import server
    from genai_exporter.cli_check import check
    from genai_exporter.cli_gpu_capture import gpu_capture
    from genai_exporter.cli_options import SHARED_OPTION, Group, metrics_dir_option, reading, reading_each
    from genai_exporter.cli_report import report
    from genai_exporter.cli_tenant_hash import tenant_hash
    from genai_exporter.demo import demo
    from genai_exporter.security import Security
    from genai_exporter.web import create_app
except ModuleNotFoundError as missing:
    raise SystemExit(
        f"Error: {missing.name} is not installed; the exporter needs: pip install 'genai-exporter[exporter]'"
    ) from None

log = logging.getLogger(__name__)


class _Group(Group):
    """Names the nearest command when one is unknown."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve the command's name, or end with exit code 2."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}; {nearest(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


def _web_config_file(text: str) -> Path:
    # An unset variable must not mean: not secured.
    if not text.strip():
        raise ValueError("the name is empty; give the web configuration file, or leave the option out")
    return Path(text).expanduser()


def _host_path(text: str) -> Path:
    if not text.strip():
        raise ValueError("the name is empty; give a directory")
    return Path(text).expanduser()


_SWITCH = "collector_"
"""What the parameters begin with that switch collectors."""


_ROOT = "path_"
"""What the parameters begin with that say where the host is."""
_ROOT_HELP = {
    "procfs": "Where the host's /proc is mounted, for an exporter in a container that watches its host.",
    "sysfs": "Where the host's /sys is mounted.",
    "cgroupfs": "Where the cgroup is mounted whose limits count (default: fs/cgroup in sysfs).",
    "rootfs": "Where the host's root is mounted, to ask its file systems for their space.",
}


def _collector_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command a switch for each collector and the host's paths, as other Prometheus exporters have them."""
    for name in reversed(configuration.ROOTS):
        path = click.option(
            f"--path.{name}",
            _ROOT + name,
            metavar="DIR",
            callback=reading(_host_path),
            help=_ROOT_HELP[name],
        )
        command = path(command)
    for name in reversed(configuration.COLLECTORS):
        switch = click.option(
            f"--collector.{name}/--no-collector.{name}",
            _SWITCH + name,
            default=None,
            help=f"Switch the collector {name} on (default) or off.",
        )
        command = switch(command)
    return command


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(exporter_version(), prog_name="genai-exporter")
def main() -> None:
    """Prometheus exporter for what genai_metrics records in LLM, RAG and agent workflows."""


@main.command()
@click.option(
    "--config.file",
    "config_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="YAML file with these settings; options and environment override it.",
)
@metrics_dir_option("Directory that the applications write to; made if missing.")
@SHARED_OPTION
@click.option(
    "--web.listen-address",
    "listen_addresses",
    metavar="HOST:PORT",
    multiple=True,
    callback=reading_each(configuration.parse_address),
    help="Where to serve: 127.0.0.1:9840 (default), [::1]:9840, :9840 for all interfaces, port 0 for a free one, "
    "unix:PATH for a Unix socket. Give it again for each further address.",
)
@click.option(
    "--web.config.file",
    "web_config_file",
    metavar="FILE",
    callback=reading(_web_config_file),
    help="YAML file with TLS, client certificates and users, as other Prometheus exporters take it.",
)
@click.option(
    "--born-at-zero-seconds",
    "born_at_zero_seconds",
    metavar="SECONDS",
    callback=reading(configuration.seconds),
    help="How long a new series is shown as 0, so that Prometheus sees its first increment: at least the "
    "scrape interval (default 20).",
)
@click.option(
    "--log.level",
    "log_level",
    type=click.Choice(configuration.LOG_LEVELS),
    help="Least level that is logged (default info).",
)
@click.option(
    "--web.enable-lifecycle",
    "enable_lifecycle",
    is_flag=True,
    help="Let POST /-/reload read the configuration file again, as SIGHUP always does.",
)
@_collector_options
def serve(config_file: Path | None, enable_lifecycle: bool, **options: Any) -> None:
    """Serve /metrics for all processes that write to the metrics directory."""
    hold_hangups()
    given = {name: value for name, value in options.items() if value is not None}
    switches = {name: given.pop(_SWITCH + name) for name in configuration.COLLECTORS if _SWITCH + name in given}
    roots = {name: given.pop(_ROOT + name) for name in configuration.ROOTS if _ROOT + name in given}

    def load() -> configuration.Config:
        config = configuration.Config() if config_file is None else configuration.read(config_file)
        return replace(config, **given).switched(switches).rooted(roots)

    try:
        config = load()
    except YamlError as error:
        _usage_error(str(error))
    if config.metrics_dir is None:
        _usage_error(
            "no metrics directory: give --metrics-dir DIR, set GENAI_METRICS_DIR, or write metrics_dir into "
            "the configuration file; it is the directory that the applications write to"
        )
    logfmt.configure(config.log_level)
    server.end_on_signals()
    try:
        with closing(Security(config.web_config_file)) if config.web_config_file else nullcontext() as security:
            _serve(config, config.metrics_dir.absolute(), security, load, enable_lifecycle)
    except YamlError as error:
        _usage_error(str(error))
    except server.ListenError as error:
        refused = refusal(config.metrics_dir.absolute(), config.metrics_dir_shared)
        raise click.ClickException(f"{error}\nAlso: {refused}" if refused else str(error)) from error
    except DirectoryError as error:
        raise click.ClickException(str(error)) from error


def _serve(
    config: configuration.Config,
    directory: Path,
    security: Security | None,
    load: Callable[[], configuration.Config],
    enable_lifecycle: bool,
) -> None:
    with server.listening(config.listen_addresses) as listeners:
        applications = Applications(
            directory,
            born_at_zero_seconds=config.born_at_zero_seconds,
            label_caps=config.label_caps,
            limits=config.metrics_dir_limits,
            shared=config.metrics_dir_shared,
        )
        applications.open()
        takers = [lambda new: logfmt.configure(new.log_level), applications.reconfigure]
        reloader = Reloader(load, config, takers)
        app = create_app(
            applications,
            directory=directory,
            reloader=reloader,
            frame=make_frame(config),
            enable_lifecycle=enable_lifecycle,
        )
        takers.append(lambda new: app.state.scraper.use(make_frame(new)))
        reload_on_hangup(reloader)
        log.info("starting", extra={"fields": {"version": exporter_version(), "metrics_dir": directory}})
        try:
            server.run(app, listeners, security)
        finally:
            if app.state.scraper.wait(timeout=1.0):
                applications.close()
                log.info("stopped")
            else:
                # Its thread still reads the directory. The kernel drops the lock when the process ends.
                log.warning("stopped during a scrape that does not end")


for _command in (check, report, tenant_hash, gpu_capture, demo):
    main.add_command(_command)


def _usage_error(message: str) -> NoReturn:
    context = click.get_current_context()
    raise click.UsageError(message, context)
