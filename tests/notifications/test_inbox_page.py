"""The inbox as a person sees it, in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Page, page
from inbox_process import Inbox, inbox
from servers import wait_for

NASTY = "<img src=x onerror=document.title='hacked'><script>document.title='hacked'</script>"
ESCAPED = NASTY.replace("<", "&lt;").replace(">", "&gt;")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Inbox, Page]]:
    """A running inbox, and a browser that looks at its page since before the first message."""
    folder = tmp_path_factory.mktemp("inbox")
    with inbox(folder) as server, page(folder) as browser:
        browser.open(server.url)
        yield server, browser


def text(browser: Page, selector: str) -> str:
    """What is read in the first element of its kind, empty while there is none."""
    return str(browser.value(f"document.querySelector({selector!r})?.innerText ?? ''"))


class TestPage:
    """In this order: the page is opened once and only looked at."""

    def test_a_slack_message_appears_by_itself(self, shown: tuple[Inbox, Page]) -> None:
        """Title with its link, bold and links in the text, and the footer; markup that nobody meant stays text."""
        server, browser = shown
        assert "No message yet" in text(browser, "#slack")
        attachment = {
            "color": "danger",
            "title": "CRITICAL chat: Too many requests fail",
            "title_link": "http://127.0.0.1:3000/d/genai-performance",
            "text": f"*12 %* of a_b_c &amp; {ESCAPED} <http://127.0.0.1/r|Runbook> <javascript:x|bad>",
            "footer": "GenAIHighErrorRate",
            "mrkdwn_in": ["text"],
        }
        assert server.post("/slack", {"attachments": [attachment]}) == (200, "ok")
        wait_for("the message", lambda: "Too many requests fail" in text(browser, "#slack .title"))
        assert text(browser, "#slack .text b") == "12 %"
        assert f"12 % of a_b_c & {NASTY}" in text(browser, "#slack .text")
        assert browser.value("[...document.querySelectorAll('#slack a')].map((a) => a.href)") == [
            "http://127.0.0.1:3000/d/genai-performance",
            "http://127.0.0.1/r",
        ]
        assert text(browser, "#slack .footer") == "GenAIHighErrorRate"
        color = "getComputedStyle(document.querySelector('.attachment')).borderLeftColor"
        assert browser.value(color) == "rgb(224, 30, 90)"

    def test_an_incident_opens_and_is_resolved_in_its_place(self, shown: tuple[Inbox, Page]) -> None:
        """The count in the title of the page follows; details that were unfolded stay so."""
        server, browser = shown
        details = {"firing": f"All calls fail. {NASTY}"}
        assert server.event("trigger", "k", **{"class": "GenAIProviderDown", "custom_details": details})[0] == 202
        wait_for("the incident", lambda: browser.value("document.title") == "(1) Inbox")
        assert text(browser, "#pagerduty .state") == "TRIGGERED"
        assert text(browser, "#pagerduty .title") == "Too many requests fail"
        assert "GenAIProviderDown" in text(browser, "#pagerduty dl")
        browser.value("document.querySelector('#pagerduty details').open = true")
        assert server.event("resolve", "k")[0] == 202
        wait_for("its end", lambda: text(browser, "#pagerduty .state") == "RESOLVED")
        assert browser.value("document.querySelectorAll('#pagerduty .card').length") == 1
        assert NASTY in text(browser, "#pagerduty details")
        assert browser.value("document.title") == "Inbox"

    def test_a_mail_is_shown_in_a_frame_that_may_do_nothing(self, shown: tuple[Inbox, Page]) -> None:
        """Its scripts do not run; its frame has no origin, so that the page cannot be reached from it."""
        server, browser = shown
        script = "<script>try { top.document.title = 'hacked' } catch (e) {}</script>"
        server.mail("Spending has jumped ✓", "plain", f"<p style='color:red'>Dear</p>{script}{NASTY}")
        wait_for("the mail", lambda: text(browser, "#mail .subject") == "Spending has jumped ✓")
        browser.value("document.querySelector('#mail summary').click()")
        wait_for("its frame", lambda: any("/mails/" in url for url in browser.frames()))
        assert browser.value("document.querySelector('iframe').contentDocument") is None
        assert browser.value("document.title") == "Inbox"

    def test_the_watchdog_is_seen(self, shown: tuple[Inbox, Page]) -> None:
        """The page says how long ago it was heard."""
        server, browser = shown
        assert text(browser, "#watchdog") == "Watchdog: not heard yet"
        assert server.post("/watchdog", {}) == (200, "OK")
        wait_for("the sign of life", lambda: " s ago" in text(browser, "#watchdog"))

    def test_nothing_was_refused_by_the_pages_own_policy(self, shown: tuple[Inbox, Page], tmp_path: Path) -> None:
        """No error in the console; the page fits narrow windows, too."""
        server, browser = shown
        assert browser.complaints == []
        browser.screenshot(tmp_path / "wide.png")
        browser.open(server.url, width=360, height=800)
        wait_for("the messages", lambda: browser.value("document.querySelectorAll('.card').length") == 3)
        assert browser.value("document.documentElement.scrollWidth") <= 360
        browser.screenshot(tmp_path / "narrow.png")
        assert (tmp_path / "narrow.png").read_bytes() != (tmp_path / "wide.png").read_bytes()

    def test_a_runbook_can_be_read(self, shown: tuple[Inbox, Page]) -> None:
        """What is to be done first is in sight, at any width; one click takes a whole query."""
        server, browser = shown
        for width in (1280, 360):
            browser.open(f"{server.url}/docs/alerts/GenAIHighErrorRate.md", width=width)
            first = "document.querySelector('blockquote').getBoundingClientRect()"
            assert browser.value(f"{first}.top > 0 && {first}.bottom < innerHeight")
            assert browser.value("document.documentElement.scrollWidth") <= width
        taken = "getComputedStyle(document.querySelector('.language-promql')).userSelect"
        assert browser.value(taken) == "all"
        browser.value("document.querySelector('a[href=\"#what-to-do\"]').click()")
        wait_for("the section", lambda: browser.value("scrollY") > 0)
        assert browser.complaints == []
