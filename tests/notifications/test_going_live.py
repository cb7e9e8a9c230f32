"""Where notifications go, by the secrets that there are."""

import stat
from pathlib import Path

import pytest
import yaml

from genai_stack.notifications import GRAFANA, MOUNTED, RUNBOOKS, SOURCE, Inbox, Written, write

INBOX = Inbox("http://inbox:8025", "inbox:1025")
SLACK = "https://hooks.slack.com/services/T/B/X"
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The shipped folder, without secrets."""
    folder = tmp_path / "alertmanager"
    (folder / "secrets").mkdir(parents=True)
    (folder / "alertmanager.yml").write_text((SOURCE / "alertmanager.yml").read_text())
    (folder / "templates").symlink_to(SOURCE / "templates")
    return folder


def written(source: Path) -> Written:
    """What a run makes of the folder."""
    return write(source.parent / "run" / "alertmanager", INBOX, {GRAFANA: "http://127.0.0.1:1"}, source=source)


def content(found: Written, name: str) -> str:
    """Content of a secret."""
    return (found.config.parent / "secrets" / name).read_text()


def test_without_secrets_everything_goes_to_the_inbox(source: Path) -> None:
    """Each channel, and none to an address outside."""
    found = written(source)
    assert found.to_inbox == ("Slack", "PagerDuty", "Watchdog", "mail")
    settings = yaml.safe_load(found.config.read_text())["global"]
    assert settings["pagerduty_url"] == "http://inbox:8025/v2/enqueue"
    assert settings["smtp_smarthost"] == "inbox:1025"
    assert settings["smtp_require_tls"] is False
    assert not {"smtp_auth_username", "smtp_auth_password_file"} & set(settings)
    assert content(found, "slack_url") == "http://inbox:8025/slack"
    assert content(found, "watchdog_url") == "http://inbox:8025/watchdog"


def test_two_files_are_all_it_takes_to_go_live(source: Path) -> None:
    """Slack and PagerDuty are the real ones then; space around a secret is nothing of it."""
    (source / "secrets" / "slack_url").write_text(f"{SLACK}\n")
    (source / "secrets" / "pagerduty_routing_key").write_text(f" {KEY}\n")
    found = written(source)
    assert found.to_inbox == ("Watchdog", "mail")
    assert content(found, "slack_url") == SLACK
    assert content(found, "pagerduty_routing_key") == KEY
    assert "pagerduty_url" not in yaml.safe_load(found.config.read_text())["global"]


def test_a_secret_that_is_taken_away_is_gone(source: Path) -> None:
    """Nothing of an earlier run is left to be sent to."""
    (source / "secrets" / "slack_url").write_text(SLACK)
    (source / "secrets" / "smtp_password").write_text("p")
    written(source)
    (source / "secrets" / "slack_url").write_text("")
    (source / "secrets" / "smtp_password").unlink()
    found = written(source)
    assert "Slack" in found.to_inbox
    assert content(found, "slack_url") == "http://inbox:8025/slack"
    assert not (found.config.parent / "secrets" / "smtp_password").exists()


def test_mail_goes_out_once_the_server_is_not_the_examples(source: Path) -> None:
    """With TLS and the password, as the file says."""
    config = source / "alertmanager.yml"
    config.write_text(config.read_text().replace("smtp.example.com", "smtp.acme.test"))
    with pytest.raises(ValueError, match=r"names the mail server smtp\.acme\.test, but .*smtp_password is missing"):
        written(source)
    (source / "secrets" / "smtp_password").write_text("p")
    found = written(source)
    assert "mail" not in found.to_inbox
    settings = yaml.safe_load(found.config.read_text())["global"]
    assert settings["smtp_smarthost"] == "smtp.acme.test:587"
    assert settings["smtp_auth_password_file"] == str(found.config.parent / "secrets" / "smtp_password")
    assert "smtp_require_tls" not in settings


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("slack_url", "hooks.slack.com/x", "slack_url must hold an address that begins with https://"),
        ("pagerduty_routing_key", "abc", "must hold an integration key of 32 characters (Events API V2), not 3"),
        ("watchdog_url", "https://a\nhttps://b", "watchdog_url must hold one line"),
    ],
)
def test_what_cannot_be_a_secret_is_refused(source: Path, name: str, text: str, complaint: str) -> None:
    """The message names the file and what should be in it, but not what is."""
    (source / "secrets" / name).write_text(text)
    with pytest.raises(ValueError) as error:
        written(source)
    assert complaint in str(error.value)
    assert str(source / "secrets" / name) in str(error.value)
    assert text not in str(error.value)


def test_others_on_this_machine_read_no_secret(source: Path) -> None:
    """The container's user reads the files; the folder around them lets only its owner through."""
    found = written(source)
    assert stat.S_IMODE(found.config.parent.parent.stat().st_mode) == 0o700
    for path in (found.config.parent / "secrets").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o444


def test_links_follow_the_ports_of_the_run(source: Path) -> None:
    """A base that nobody changed leads to where Grafana listens this time; the others stay."""
    found = written(source)
    links = (found.config.parent / "templates" / "links.tmpl").read_text()
    assert "}}http://127.0.0.1:1{{" in links
    assert GRAFANA not in links
    assert RUNBOOKS in links


def test_a_mounted_folder_is_named_as_it_is_seen_inside(source: Path) -> None:
    """In a container the paths are its own."""
    found = write(source.parent / "run" / "alertmanager", INBOX, {}, mounted=MOUNTED, source=source)
    assert f"{MOUNTED}/secrets/slack_url" in found.config.read_text()
    assert str(found.config.parent) not in found.config.read_text()
