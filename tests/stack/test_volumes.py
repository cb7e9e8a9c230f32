"""What the container `setup` leaves in the volumes of Alertmanager and Grafana."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from genai_stack import REPOSITORY, binaries, notifications, volumes


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The shipped folder with a secret that only its owner can read."""
    folder = tmp_path / "source"
    (folder / "secrets").mkdir(parents=True)
    for name in ("alertmanager.yml", "templates"):
        (folder / name).symlink_to(REPOSITORY / "alertmanager" / name)
    slack = folder / "secrets" / "slack_url"
    slack.write_text("https://hooks.slack.com/services/T/B/X")
    slack.chmod(0o600)
    return folder


@pytest.fixture
def mounts(tmp_path: Path) -> tuple[Path, Path]:
    """Two empty volumes, of Alertmanager and of Grafana, as the engine makes them."""
    folders = (tmp_path / "volumes" / "alertmanager", tmp_path / "volumes" / "grafana")
    for folder in folders:
        folder.mkdir(parents=True)
        folder.chmod(0o755)
    return folders


def run(source: Path, mounts: tuple[Path, Path], *mounted: Path) -> subprocess.CompletedProcess[str]:
    """Run it as the container does."""
    alertmanager, grafana = mounts
    arguments = [f"--source={source}", f"--alertmanager={alertmanager}", f"--grafana={grafana}"]
    arguments += [f"--mounted={folder}" for folder in mounted]
    command = [sys.executable, "-m", "genai_stack.volumes", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_other_users_read_what_is_there(source: Path, mounts: tuple[Path, Path]) -> None:
    """The servers run as users of their own: every folder can be entered, every file read."""
    done = run(source, mounts)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("PagerDuty, Watchdog, mail: sent to the inbox")
    for volume in mounts:
        for path in (volume, *volume.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o444), path


def test_alertmanager_accepts_it_where_it_is_mounted(source: Path, mounts: tuple[Path, Path]) -> None:
    """The paths are those of its container; read from here instead, all of them exist."""
    assert run(source, mounts).returncode == 0
    config = mounts[0] / "alertmanager.yml"
    settings = yaml.safe_load(config.read_text())["global"]
    assert settings["slack_api_url_file"] == f"{notifications.MOUNTED}/secrets/slack_url"
    assert settings["smtp_smarthost"] == volumes.INBOX.smtp
    here = mounts[0].parent / "here.yml"
    here.write_text(config.read_text().replace(notifications.MOUNTED, str(mounts[0])))
    command = [binaries.require("amtool"), "check-config", here]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_password_stays_and_the_secrets_follow(source: Path, mounts: tuple[Path, Path]) -> None:
    """Each start runs it again: Grafana has taken the password over by then, Alertmanager wants what is there now."""
    assert run(source, mounts).returncode == 0
    password = (mounts[1] / volumes.PASSWORD_FILE).read_text()
    assert len(password) >= 32
    (source / "secrets" / "slack_url").unlink()
    assert run(source, mounts).returncode == 0
    assert (mounts[1] / volumes.PASSWORD_FILE).read_text() == password
    assert (mounts[0] / "secrets" / "slack_url").read_text() == f"{volumes.INBOX.url}/slack"


def test_a_secret_that_cannot_be_one_stops_the_start(source: Path, mounts: tuple[Path, Path]) -> None:
    """Compose starts nothing that waits for it, and its log says which file to mend."""
    (source / "secrets" / "slack_url").write_text("hooks.slack.com/services/T/B/X")
    done = run(source, mounts)
    assert done.returncode == 1
    assert f"{source}/secrets/slack_url must hold an address that begins with https://" in done.stderr


def test_a_clone_that_is_its_owners_alone_is_not_started(
    source: Path, mounts: tuple[Path, Path], tmp_path: Path
) -> None:
    """Prometheus would not start, and Grafana would show no dashboards without a word; one command is all it takes."""
    folders = [tmp_path / name for name in ("prometheus", "grafana", "docs")]
    for folder in folders:
        folder.mkdir(mode=0o750 if folder.name == "docs" else 0o700)
        (folder / "a.yml").touch(mode=0o600)
    folders[1].chmod(0o755)
    done = run(source, mounts, *folders)
    assert done.returncode == 1
    command = done.stderr.strip().rpartition(": ")[2]
    assert command == "chmod -R go+rX prometheus docs"
    subprocess.run(command.split(), cwd=tmp_path, check=True)
    assert run(source, mounts, *folders).returncode == 0
