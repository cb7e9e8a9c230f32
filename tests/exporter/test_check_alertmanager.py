"""Tests of what is said of Alertmanager's configuration."""

from collections.abc import Callable
from pathlib import Path

import pytest

from genai_exporter import checks_alertmanager
from genai_exporter.checks_findings import Findings
from genai_metrics import yamlfile

BUNDLE = Path(__file__).parents[2] / "alertmanager"
RIGHT = """\
route:
  receiver: people
receivers:
  - name: people
    slack_configs:
      - channel: '#llm'
"""

Judge = Callable[[str], tuple[list[str], list[str]]]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """A function that judges a text and returns problems and notes as ``line: message``."""

    def run(text: str) -> tuple[list[str], list[str]]:
        path = tmp_path / "alertmanager.yml"
        path.write_text(text)
        findings = Findings()
        checks_alertmanager.judge(yamlfile.read(path), findings)
        lines = [[f"{f.line}: {f.message}" for f in found] for found in (findings.problems, findings.notes)]
        return lines[0], lines[1]

    return run


def test_the_bundle_is_right() -> None:
    """Only secrets that nobody has written yet are mentioned, for each file that the configuration names."""
    findings = Findings()
    checks_alertmanager.judge(yamlfile.read(BUNDLE / "alertmanager.yml"), findings)
    assert findings.problems == []
    assert {note.message.partition(": ")[2].partition(" ")[0] for note in findings.notes} <= {
        str(BUNDLE / "secrets" / path.name) for path in (BUNDLE / "secrets.example").iterdir()
    }


def test_a_plain_configuration_is_right(judge: Judge) -> None:
    """Built-in templates, own ``$`` in templates, addresses without secrets and free names in details are no faults."""
    text = RIGHT + (
        """        title: '{{ template "slack.default.title" . }}{{ $x := "A" }}{{ $X }}'\n"""
        """    webhook_configs: [{ url: 'http://127.0.0.1:5001/hook' }]\n"""
        """    pagerduty_configs: [{ details: { password: 'see the wiki', key: x } }]\n"""
    )
    assert judge(text) == ([], [])


@pytest.mark.parametrize(
    ("lines", "key", "remedy"),
    [
        ("global:\n  slack_api_url: SECRET", "slack_api_url", "slack_api_url_file"),
        ("global:\n  smtp_auth_password: SECRET", "smtp_auth_password", "smtp_auth_password_file"),
        ("global:\n  http_config: { basic_auth: { username: a, password: SECRET } }", "password", "password_file"),
        ("global:\n  http_config: { authorization: { credentials: SECRET } }", "credentials", "credentials_file"),
        ("global:\n  http_config: { oauth2: { client_secret: SECRET } }", "client_secret", "client_secret_file"),
        ("global:\n  http_config: { tls_config: { key: SECRET } }", "key", "key_file"),
        ("global:\n  http_config: { http_headers: { X-Key: { secrets: [SECRET] } } }", "secrets", "files"),
        ("x:\n  slack_configs: [{ api_url: SECRET }]", "api_url", "api_url_file"),
        ("x:\n  pagerduty_configs: [{ routing_key: SECRET }]", "routing_key", "routing_key_file"),
        ("x:\n  telegram_configs: [{ bot_token: SECRET }]", "bot_token", "bot_token_file"),
        ("x:\n  msteamsv2_configs: [{ webhook_url: SECRET }]", "webhook_url", "webhook_url_file"),
        ("x:\n  webhook_configs: [{ url: 'https://hc-ping.com/1f2e3d4c-0000-4444-8888-SECRET' }]", "url", "url_file"),
        ("x:\n  webhook_configs: [{ url: 'https://me:SECRET@example.com/' }]", "url", "url_file"),
    ],
)
def test_inline_secrets_are_refused(judge: Judge, lines: str, key: str, remedy: str) -> None:
    """Line, key and the key to use are named; the secret is not repeated."""
    [problem], _ = judge(f"{RIGHT}{lines}\n")
    assert problem.startswith(f"8: {key} shows a secret to all who read this file; ")
    assert problem.endswith(f"named by {remedy}")
    assert "SECRET" not in problem


def test_an_alias_is_said_once(judge: Judge) -> None:
    """What two receivers share is one mistake."""
    text = (
        "route: { receiver: a, routes: [{ receiver: b }] }\nreceivers:\n"
        "  - name: a\n    slack_configs: &slack [{ api_url: SECRET }]\n  - name: b\n    slack_configs: *slack\n"
    )
    [problem], _ = judge(text)
    assert problem.startswith("4: api_url")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "slack_api_url: ${SLACK_URL}",
            "8: slack_api_url: Alertmanager does not expand ${SLACK_URL} and would take it",
        ),
        ("slack_api_url: $SLACK_URL", "give a secret's file with slack_api_url_file"),
        (
            "smtp_from: ${MAIL}",
            "8: smtp_from: Alertmanager does not expand ${MAIL} and would take it as it stands; write",
        ),
        ("slack_api_url_file: ${DIR}/x", "8: slack_api_url_file: Alertmanager does not expand ${DIR}"),
    ],
)
def test_placeholders_are_refused(judge: Judge, line: str, expected: str) -> None:
    """Alertmanager would send to the placeholder itself."""
    [problem], _ = judge(f"{RIGHT}global:\n  {line}\n")
    assert expected in problem


class TestSecretFiles:
    """Files with secrets."""

    TEXT = f"{RIGHT}global:\n  slack_api_url_file: secrets/slack\n"

    def test_missing_and_empty_ones_are_named(self, judge: Judge, tmp_path: Path) -> None:
        """With the path at which they were looked for."""
        path = tmp_path / "secrets" / "slack"
        assert judge(self.TEXT)[0] == [f"8: slack_api_url_file: {path} is missing; write it, or correct the name"]
        path.parent.mkdir()
        path.touch(0o600)
        assert judge(self.TEXT)[0] == [f"8: slack_api_url_file: {path} is empty; write what it stands for into it"]
        path.unlink()
        path.mkdir()
        assert "is not a file" in judge(self.TEXT)[0][0]

    def test_those_that_everybody_may_read_are_named(self, judge: Judge, tmp_path: Path) -> None:
        """Unless their folder keeps others out; a group may read."""
        path = tmp_path / "secrets" / "slack"
        path.parent.mkdir(mode=0o755)
        path.write_text("https://hooks.slack.com/services/x")
        path.chmod(0o644)
        assert judge(self.TEXT)[0] == [
            f"8: slack_api_url_file: everybody on this machine may read {path}; run: chmod o= {path}"
        ]
        path.chmod(0o640)
        assert judge(self.TEXT) == ([], [])
        path.chmod(0o644)
        path.parent.chmod(0o750)
        assert judge(self.TEXT) == ([], [])

    def test_a_key_of_another_length(self, judge: Judge, tmp_path: Path) -> None:
        """PagerDuty's have 32 characters; how many there are is said, not which."""
        path = tmp_path / "key"
        text = RIGHT + "    pagerduty_configs: [{ routing_key_file: key }]\n"
        path.write_text("abcde\n")
        path.chmod(0o600)
        assert judge(text)[0] == [
            f"7: routing_key_file: {path} holds 5 characters, but an integration key of PagerDuty has 32; copy it from "
            "the service's Integrations"
        ]
        path.write_text("0123456789abcdef" * 2 + "\n")
        assert judge(text) == ([], [])

    @pytest.mark.parametrize("key", ["slack_configs: [{ api_url_file", "webhook_configs: [{ url_file"])
    def test_an_address_that_is_none(self, judge: Judge, tmp_path: Path, key: str) -> None:
        """Without https:// in front, or two in a file."""
        path = tmp_path / "address"
        text = f"{RIGHT.partition('    slack')[0]}    {key}: address }}]\n"
        for wrong in ("hooks.slack.com/services/x", "https://a.example/x\nhttps://b.example/y"):
            path.write_text(wrong)
            path.chmod(0o600)
            assert judge(text)[0] == [
                f"5: {key.rpartition(' ')[2]}: {path} must hold one address that begins with https://; copy it again"
            ]
        path.write_text("https://hooks.slack.com/services/x\n")
        assert judge(text) == ([], [])

    def test_certificates_are_no_secret(self, judge: Judge, tmp_path: Path) -> None:
        """Everybody may read them."""
        tmp_path.chmod(0o755)
        (tmp_path / "ca.pem").write_text("x")
        (tmp_path / "ca.pem").chmod(0o644)
        assert judge(f"{RIGHT}global:\n  http_config: {{ tls_config: {{ ca_file: ca.pem }} }}\n") == ([], [])


def test_a_container_s_folder_is_the_file_s(judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a container mounts the folder, files are looked for beside the configuration; a missing one is no fault."""
    monkeypatch.setattr(checks_alertmanager, "MOUNTED", "/no/such/folder")
    text = (
        f"{RIGHT}global:\n  slack_api_url_file: /no/such/folder/secrets/slack\ntemplates: [/no/such/folder/t/*.tmpl]\n"
    )
    problems, notes = judge(text)
    assert problems == ["9: templates: no file is called /no/such/folder/t/*.tmpl; correct the name, or remove it"]
    path = tmp_path / "secrets" / "slack"
    assert notes == [
        f"8: slack_api_url_file: {path} is missing; `make up` sends to the inbox instead, other Alertmanagers fail"
    ]
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a.tmpl").write_text("")
    path.parent.mkdir()
    path.write_text("https://hooks.slack.com/services/x")
    path.chmod(0o600)
    assert judge(text) == ([], [])


def test_in_that_folder_itself_a_missing_secret_is_a_fault(
    judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alertmanager itself reads that file."""
    monkeypatch.setattr(checks_alertmanager, "MOUNTED", str(tmp_path.resolve()))
    path = tmp_path.resolve() / "slack"
    problems, notes = judge(f"{RIGHT}global:\n  slack_api_url_file: {path}\n")
    assert (problems, notes) == (
        [f"8: slack_api_url_file: {path} is missing; write it, or correct the name"],
        [],
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            RIGHT.replace("receiver: people", "receiver: peple"),
            "2: no receiver is called 'peple'; did you mean 'people'?",
        ),
        (
            RIGHT.replace(
                "  receiver: people\n", "  receiver: people\n  routes:\n    - routes:\n        - receiver: x\n"
            ),
            "5: no receiver is called 'x'; known: people",
        ),
        (
            "route: { receiver: people }\nreceivers:\n  - name: people\n",
            "3: the receiver 'people' notifies nobody; add slack_configs, pagerduty_configs or others, or call it",
        ),
        ("route: { receiver: people }\nreceivers:\n  - name: people\n    slack_configs: []\n", "notifies nobody"),
        ("route: { receiver: people }\nreceivers: people\n", "2: receivers must be a list"),
        (
            f"{RIGHT}templates:\n  - templates/*.tmpl\n",
            "templates: no file is called templates/*.tmpl; correct the name",
        ),
        (
            f"{RIGHT}        title: '{{{{ template \"my.titel\" . }}}}'\n",
            "7: no template is called 'my.titel'; known: none",
        ),
    ],
)
def test_wrong_routes_receivers_and_templates_are_named(judge: Judge, text: str, expected: str) -> None:
    """One problem at the line."""
    [problem], _ = judge(text)
    assert expected in problem


def test_a_misspelt_template_is_named(judge: Judge, tmp_path: Path) -> None:
    """Beside those that the files define."""
    (tmp_path / "my.tmpl").write_text('{{ define "my.title" }}x{{ end }}{{- block "my.text" . }}{{ end }}')
    title = """'{{ template "my.titel" . }}{{- template "my.text" . }}'"""
    text = f"{RIGHT}        title: {title}\ntemplates: ['*.tmpl']\n"
    assert judge(text)[0] == ["7: no template is called 'my.titel'; did you mean 'my.title'?"]


def test_a_receiver_may_be_silent_on_purpose(judge: Judge) -> None:
    """By its name; a receiver without a route is only mentioned."""
    text = "route: { receiver: 'null' }\nreceivers:\n  - name: 'null'\n  - name: spare\n"
    assert judge(text) == ([], ["4: no route leads to the receiver 'spare'"])
