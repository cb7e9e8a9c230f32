"""Judges Alertmanager's configuration where ``amtool`` is silent: secrets, receivers, templates, placeholders.

https://prometheus.io/docs/alerting/latest/configuration/ has the keys.
"""

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from genai_exporter.checks_files import here, named_by
from genai_exporter.checks_findings import Findings, line_of, texts_in
from genai_exporter.checks_secrets import secret_fault
from genai_metrics.yamlvalues import Section, Sequence, Value, YamlError, nearest

MOUNTED = "/etc/alertmanager"
"""Where containers have the folder of the configuration."""

# Keys that hold a secret wherever they stand; with `_file` behind it each names a file instead.
_SECRETS = frozenset(
    (
        *("alert_source_token", "api_key", "api_secret", "app_token", "auth_password", "auth_secret", "bearer_token"),
        *("bot_token", "client_secret", "credentials", "mattermost_webhook_url", "opsgenie_api_key", "password"),
        *("rocketchat_token", "rocketchat_token_id", "routing_key", "service_key", "slack_api_url", "slack_app_token"),
        *("smtp_auth_password", "smtp_auth_secret", "telegram_bot_token", "token", "token_id", "user_key"),
        *("victorops_api_key", "webhook_url", "wechat_api_secret"),
    )
)
# Of keys that are no secret elsewhere, the part of the configuration where they are.
_SECRETS_IN = {"api_url": "slack_configs", "key": "tls_config"}
_SILENT_NAMES = ("null", "none", "blackhole", "black-hole", "devnull", "nobody", "silent")
_PLACEHOLDER = re.compile(r"\$\{?[A-Z_][A-Z0-9_]*\}?")
_USED_TEMPLATE = re.compile(r'\{\{-?\s*template\s+"([^"]+)"')
_DEFINED_TEMPLATE = re.compile(r'\{\{-?\s*(?:define|block)\s+"([^"]+)"')
# A piece of an address that nobody would make up by hand: long, with digits.
_TOKEN = re.compile(r"(?=[^/?=&]*\d)[\w-]{16,}|://[^/@]+:[^/@]+@")


def judge(root: Section, findings: Findings) -> None:
    """Judge a configuration that has been read; everything that is wrong is reported, never a secret's text."""
    _judge_texts(root, findings)
    with findings.collecting(root.path):
        _judge_receivers(root, findings)
    with findings.collecting(root.path):
        _judge_templates(root, findings)


def _judge_texts(root: Section, findings: Findings) -> None:
    for keys, scalar in texts_in(root):
        key = keys[-1] if keys else ""
        names_file = key.endswith("_file") or (key == "files" and "http_headers" in keys)
        if names_file and not _PLACEHOLDER.search(scalar.text):
            _judge_secret_file(root.path, scalar.line, key, scalar.text, findings)
            continue
        placeholder = _PLACEHOLDER.search(scalar.text) if "{{" not in scalar.text else None
        file_key = _file_key(keys, scalar.text)
        if placeholder:
            remedy = f"give a secret's file with {file_key}" if file_key else "write the value itself"
            findings.problem(
                root.path,
                scalar.line,
                f"{key}: Alertmanager does not expand {placeholder[0]} and would take it as it stands; {remedy}",
            )
        elif file_key and scalar.text:
            findings.problem(
                root.path,
                scalar.line,
                f"{key} shows a secret to all who read this file; put it into a file of its own, named by {file_key}",
            )


def _file_key(keys: tuple[str, ...], text: str) -> str | None:
    """Name the key that takes a file instead, if the keys lead to a secret."""
    key = keys[-1] if keys else ""
    if "details" in keys or "headers" in keys:
        return None  # of notifications: their names are free
    if key == "secrets" and "http_headers" in keys:
        return "files"
    if key == "url":
        return "url_file" if "webhook_configs" in keys and _TOKEN.search(text) else None
    return f"{key}_file" if key in _SECRETS or _SECRETS_IN.get(key) in keys else None


def _judge_secret_file(config: Path, line: int, key: str, name: str, findings: Findings) -> None:
    path, bundled = here(config, name, MOUNTED)
    secret = key not in ("ca_file", "cert_file")
    try:
        status, parent = path.stat(), path.parent.stat()
    except OSError as error:
        reason = f"{path} is missing" if isinstance(error, FileNotFoundError) else f"{path}: {error.strerror}"
        if bundled:
            findings.note(
                config, line, f"{key}: {reason}; `make up` sends to the inbox instead, other Alertmanagers fail"
            )
        else:
            findings.problem(config, line, f"{key}: {reason}; write it, or correct the name")
        return
    if not stat.S_ISREG(status.st_mode):
        findings.problem(
            config, line, f"{key}: {path} is not a file; name a file that holds the secret and nothing else"
        )
    elif status.st_size == 0:
        report = findings.note if bundled else findings.problem
        report(config, line, f"{key}: {path} is empty; write what it stands for into it")
    elif fault := secret_fault(key, path):
        findings.problem(config, line, f"{key}: {path} {fault}")
    elif secret and status.st_mode & stat.S_IRWXO and parent.st_mode & stat.S_IXOTH:
        findings.problem(config, line, f"{key}: everybody on this machine may read {path}; run: chmod o= {path}")


def _judge_receivers(root: Section, findings: Findings) -> None:
    named: dict[str, Section] = {}
    for receiver in root.sections("receivers"):
        named[receiver.text("name")] = receiver
    routes = list(_routes(root.section("route"), findings))
    used = set()
    for route in routes:
        if route.has("receiver"):
            name = route.text("receiver")
            used.add(name)
            if name not in named:
                findings.problem(
                    root.path,
                    line_of(route, "receiver"),
                    f"no receiver is called {name!r}; {nearest(name, named)}",
                )
    for name, receiver in named.items():
        if name not in used:
            findings.note(root.path, line_of(receiver, "name"), f"no route leads to the receiver {name!r}")
        elif not _notifies(receiver) and name.lower() not in _SILENT_NAMES:
            findings.problem(
                root.path,
                line_of(receiver, "name"),
                f"the receiver {name!r} notifies nobody; add slack_configs, pagerduty_configs or others, or call it "
                "'null' if nobody shall be told",
            )


def _routes(route: Section, findings: Findings) -> Iterator[Section]:
    """Yield a route and those below it."""
    yield route
    with findings.collecting(route.path):
        for inner in route.sections("routes"):
            yield from _routes(inner, findings)


def _notifies(receiver: Section) -> bool:
    lists: list[Value] = [value for key, (_, value) in receiver.entries.items() if key.endswith("_configs")]
    return any(isinstance(value, Sequence) and value.values for value in lists)


def _judge_templates(root: Section, findings: Findings) -> None:
    """Report patterns that name no file, and templates that no file defines."""
    defined: set[str] = set()
    line = line_of(root, "templates")
    for pattern in root.texts("templates"):
        files = named_by(root.path, pattern, MOUNTED)
        if not files:
            findings.problem(root.path, line, f"templates: no file is called {pattern}; correct the name, or remove it")
        for file in files:
            try:
                defined.update(_DEFINED_TEMPLATE.findall(file.read_text("utf-8")))
            except (OSError, UnicodeDecodeError) as error:
                raise YamlError(f"{root.path}:{line}: templates: {file} cannot be read: {error}") from error
    for _, scalar in texts_in(root):
        for name in _USED_TEMPLATE.findall(scalar.text):
            # What Alertmanager brings with it: slack.default.title, __subject, ...
            if name not in defined and not name.startswith("__") and ".default." not in name:
                findings.problem(root.path, scalar.line, f"no template is called {name!r}; {nearest(name, defined)}")
