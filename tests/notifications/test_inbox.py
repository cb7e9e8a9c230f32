"""The inbox's server: what it takes, what it refuses as the real services do, and what it keeps."""

import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest
from inbox_process import KEY, Inbox, inbox
from servers import get

from genai_stack import REPOSITORY
from inbox import documents
from inbox.arrivals import KEPT, Arrivals
from inbox.slack import pieces


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbox]:
    """A running inbox."""
    with inbox(tmp_path_factory.mktemp("inbox")) as running:
        yield running


class TestRefusals:
    """What the real services would not take either."""

    @pytest.mark.parametrize("body", [b"no json", b"[]", b'{"text": NaN}', {}, {"attachments": 5}])
    def test_slack(self, server: Inbox, body: object) -> None:
        """Status 400 with Slack's word for it."""
        status, answer = server.post("/slack", body)
        assert status == 400
        assert answer in {"invalid_payload", "no_text", "invalid_attachments"}

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"routing_key": "short"}, "should be 32 characters"),
            ({"event_action": "shout"}, "'event_action' is invalid"),
            ({"payload": None}, "'payload' is missing"),
            ({"payload": {"summary": "s", "severity": "critical"}}, "'payload.source' is missing"),
            ({"payload": {"summary": "s", "source": "s", "severity": "bad"}}, "'payload.severity' is invalid"),
            ({"event_action": "resolve", "dedup_key": ""}, "'dedup_key' is missing"),
        ],
    )
    def test_pagerduty(self, server: Inbox, change: dict[str, object], error: str) -> None:
        """Status 400, which names the field."""
        payload = {"summary": "s", "source": "s", "severity": "critical"}
        good = {"routing_key": KEY, "event_action": "trigger", "dedup_key": "refused", "payload": payload}
        status, answer = server.post("/v2/enqueue", good | change)
        assert status == 400
        assert error in answer

    def test_too_much(self, server: Inbox) -> None:
        """A request beyond the limit is not kept in memory."""
        assert server.post("/slack", b'{"text": "' + b"x" * 2**20 + b'"}')[0] == 413


class TestKept:
    """What can be read back."""

    def test_only_what_is_new_is_told(self, server: Inbox) -> None:
        """A page that has seen some asks for the rest; secrets are not among it."""
        seen = server.messages()["newest"]
        server.post("/slack", {"text": "hello"})
        server.event("trigger", "kept")
        news = server.messages(seen)
        assert [message["attachments"][0]["text"] for message in news["slack"]] == [[["text", "hello"]]]
        assert [incident["summary"] for incident in news["pagerduty"]] == ["Too many requests fail"]
        assert KEY not in str(news)
        assert server.messages(news["newest"])["slack"] == []

    def test_one_that_fires_again_after_its_end_is_another_incident(self, server: Inbox) -> None:
        """As with PagerDuty, where a resolved incident stays resolved."""
        for action in ("trigger", "trigger", "resolve", "trigger"):
            server.event(action, "again", summary="again")
        found = [one for one in server.messages()["pagerduty"] if one["summary"] == "again"]
        assert [(one["state"], one["events"]) for one in found] == [("resolved", 3), ("triggered", 1)]

    def test_no_more_than_so_many(self) -> None:
        """The oldest are forgotten; numbers go on."""
        arrivals = Arrivals()
        for number in range(KEPT + 5):
            arrivals.add("slack", number)
        assert len(arrivals.all()) == KEPT
        assert arrivals.all()[0].content == 5
        assert arrivals.get(1) is None
        assert arrivals.newest == KEPT + 5


class TestPages:
    """What else it serves."""

    def test_runbooks_can_be_read(self, server: Inbox) -> None:
        """The link of a message leads to the page: sections at the top, what to do first, queries, tables, links."""
        page = get(f"{server.url}/docs/alerts/GenAIHighErrorRate.md").decode()
        assert '<nav aria-label="Sections"><a href="/">Inbox</a><a href="#what-it-means">What it means</a>' in page
        assert page.index("<blockquote>") < page.index('<h2 id="what-it-means">What it means</h2>')
        assert '<code class="language-promql">' in page
        assert "<td><code>401</code>, <code>403</code>, <code>AuthenticationError</code></td>" in page
        assert '<a href="GenAIRateLimited.md">GenAIRateLimited</a>' in page

    def test_pictures_of_pages_too(self, server: Inbox) -> None:
        """Those beside the Markdown files."""
        assert get(f"{server.url}/docs/images/tour-week.svg").startswith(b"<svg")

    def test_html_within_a_page_is_left_out(self, tmp_path: Path) -> None:
        """Comments and tags do not show, and a link that runs something is none."""
        file = tmp_path / "page.md"
        file.write_text("<!-- made -->\n\na <b onclick=x>b</b> [c](javascript:x) <script>x</script>\n")
        content = documents.page(file).partition("<article>")[2].partition("</article>")[0]
        assert content == "\n<p>a b [c](javascript:x) x</p>\n"

    @pytest.mark.parametrize("path", ["/docs/../README.md", "/docs/%2e%2e/README.md", "/docs/metrics_reference.py"])
    def test_nothing_else_is(self, server: Inbox, path: str) -> None:
        """Neither files elsewhere nor other kinds of files."""
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(server.url + path)

    def test_a_bad_address_is_a_usage_error(self) -> None:
        """The message names the option and says how to write it."""
        command = [sys.executable, "-m", "inbox", "--listen", "here"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert "'--listen': 'here' is no address; write it as 127.0.0.1:8025" in done.stderr

    def test_the_readme_says_what_help_says(self) -> None:
        """Each option is in the README."""
        done = subprocess.run(
            [sys.executable, "-m", "inbox", "--help"], capture_output=True, text=True, timeout=60, check=True
        )
        readme = (Path(REPOSITORY) / "examples" / "inbox" / "README.md").read_text()
        for option in ("--listen", "--smtp-listen", "--docs"):
            assert option in done.stdout
            assert f"`{option}" in readme


def test_slack_markup() -> None:
    """What is meant as markup is, what is not stays, and what is escaped comes back."""
    assert pieces("a *b* _c_ `d` snake_case_name 2*3*4 <http://x/?a&amp;b|e&amp;f> <!channel> &lt;g&gt;") == [
        ("text", "a "),
        ("bold", "b"),
        ("text", " "),
        ("italic", "c"),
        ("text", " "),
        ("code", "d"),
        ("text", " snake_case_name 2*3*4 "),
        ("link", "http://x/?a&b", "e&f"),
        ("text", " "),
        ("mention", "@channel"),
        ("text", " <g>"),
    ]
