"""Alertmanager's configuration as the stack runs it: what has no secret yet goes to the local inbox.

``alertmanager/`` holds the configuration as production wants it. PagerDuty's address and the mail server have no
`*_file` form, so a copy with other ones is written rather than the original edited; secrets are copied beside it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from genai_stack import REPOSITORY, secret

SOURCE = REPOSITORY / "alertmanager"
"""The configuration that people edit; their secrets are in the folder ``secrets`` of it."""

MOUNTED = "/etc/alertmanager"
"""Where the original expects itself, and where Compose mounts the copy."""

RUNBOOKS = "http://127.0.0.1:8025"
GRAFANA = "http://127.0.0.1:3000"
"""Bases of links as `templates/links.tmpl` ships them; they are replaced only while they are still these."""

_EXAMPLE_DOMAIN = "example.com"
_KEY_LENGTH = 32


@dataclass(frozen=True)
class Inbox:
    """The local inbox: ``url`` for Alertmanager's HTTP, ``smtp`` for mail, as ``host:port``, no slash at the end."""

    url: str
    smtp: str

    @property
    def secrets(self) -> dict[str, str]:
        """What to write where a receiver has no secret; PagerDuty's key has its real length."""
        return {
            "slack_url": f"{self.url}/slack",
            "pagerduty_routing_key": "0" * _KEY_LENGTH,
            "watchdog_url": f"{self.url}/watchdog",
        }


@dataclass(frozen=True)
class Prepared:
    """What is to be written: configuration, secrets by the names of their files, and the channels of the inbox."""

    config: dict[str, Any]
    secrets: dict[str, str]
    to_inbox: tuple[str, ...]


@dataclass(frozen=True)
class Written:
    """What was written: ``config`` is the file that Alertmanager reads, ``to_inbox`` names what lands in the inbox."""

    config: Path
    to_inbox: tuple[str, ...]


def prepare(inbox: Inbox, folder: str = MOUNTED, source: Path = SOURCE) -> Prepared:
    """Read the configuration and the secrets for an Alertmanager that finds them in ``folder``.

    Raises ``ValueError``, naming file and remedy, for a secret that cannot be one.
    """
    secrets = {path.name: path for path in (source / "secrets").glob("*") if path.is_file()}
    real = {name: value for name, path in secrets.items() if (value := _secret(path))}
    config = yaml.safe_load((source / "alertmanager.yml").read_text().replace(MOUNTED, folder))
    mail_is_local = _redirect(config, inbox, real, source)
    channels = {"Slack": "slack_url", "PagerDuty": "pagerduty_routing_key", "Watchdog": "watchdog_url"}
    to_inbox = [channel for channel, name in channels.items() if name not in real]
    return Prepared(config, {**inbox.secrets, **real}, tuple(to_inbox + ["mail"] * mail_is_local))


def write(
    folder: Path, inbox: Inbox, links: Mapping[str, str], mounted: str | None = None, source: Path = SOURCE
) -> Written:
    """Write configuration, templates and secrets into ``folder``, replacing those of earlier runs.

    ``links``: bases of `links.tmpl` to replace, as they are and as they shall be. ``mounted``: where Alertmanager finds
    the folder, if not at its own path. Raises ``ValueError``, naming file and remedy, for a secret that cannot be one.

    The folder is readable by all, as Alertmanager's container is another user. The one around it is its owner's alone,
    unless the folder is a volume, which Alertmanager mounts and the engine keeps from others.
    """
    prepared = prepare(inbox, mounted or str(folder), source)
    if mounted is None:
        secret.private(folder.parent)
    for part in (folder, folder / "secrets", folder / "templates"):
        part.mkdir(parents=True, exist_ok=True)
        part.chmod(0o755)
    _remove_all_but(prepared.secrets, folder / "secrets")
    for name, value in prepared.secrets.items():
        _replace(folder / "secrets" / name, value)
    _replace(
        folder / "alertmanager.yml",
        "# Written from the repository's alertmanager/.\n" + yaml.safe_dump(prepared.config, sort_keys=False),
    )
    _copy_templates(source / "templates", folder / "templates", links)
    return Written(folder / "alertmanager.yml", prepared.to_inbox)


def _redirect(config: dict[str, Any], inbox: Inbox, real: Mapping[str, str], source: Path) -> bool:
    """Point at the inbox what the file itself must say; returns whether mail is among it."""
    settings = config.setdefault("global", {})
    if "pagerduty_routing_key" not in real:
        settings["pagerduty_url"] = f"{inbox.url}/v2/enqueue"
    server = str(settings.get("smtp_smarthost", _EXAMPLE_DOMAIN)).rpartition(":")[0]
    if server.endswith(_EXAMPLE_DOMAIN):
        settings |= {"smtp_smarthost": inbox.smtp, "smtp_require_tls": False}
        for name in ("smtp_auth_username", "smtp_auth_password_file"):
            settings.pop(name, None)
        return True
    if "smtp_auth_password_file" in settings and "smtp_password" not in real:
        raise ValueError(
            f"{source / 'alertmanager.yml'} names the mail server {server}, but {source / 'secrets' / 'smtp_password'} "
            "is missing; write the password there, or remove smtp_auth_username and smtp_auth_password_file if the "
            "server wants none"
        )
    return False


def _secret(path: Path) -> str:
    """Content of a secret's file without surrounding space; empty means that there is none."""
    value = path.read_text().strip()
    if path.name.endswith("_url") and value and not value.startswith(("http://", "https://")):
        raise ValueError(f"{path} must hold an address that begins with https://")
    if path.name == "pagerduty_routing_key" and value and len(value) != _KEY_LENGTH:
        raise ValueError(
            f"{path} must hold an integration key of {_KEY_LENGTH} characters (Events API V2), not {len(value)}"
        )
    if len(value.splitlines()) > 1:
        raise ValueError(f"{path} must hold one line")
    return value


def _copy_templates(source: Path, folder: Path, links: Mapping[str, str]) -> None:
    """Copy the templates, with other bases of links."""
    paths = list(source.glob("*.tmpl"))
    _remove_all_but({path.name for path in paths}, folder)
    for path in paths:
        text = path.read_text()
        if path.name == "links.tmpl":
            for before, after in links.items():
                text = text.replace("}}" + before + "{{", "}}" + after + "{{")
        _replace(folder / path.name, text)


def _remove_all_but(names: Collection[str], folder: Path) -> None:
    """Remove the files of earlier runs that are no longer wanted."""
    for path in folder.iterdir():
        if path.name not in names:
            path.unlink()


def _replace(path: Path, text: str) -> None:
    """Write a file whole, readable by all."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.chmod(0o444)
    new.replace(path)
