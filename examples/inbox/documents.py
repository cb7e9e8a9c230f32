"""Markdown files as pages, so that a runbook can be read where the link of a message leads."""

import html
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="/static/icon.svg">
<link rel="stylesheet" href="/static/inbox.css">
<link rel="stylesheet" href="/static/document.css">
</head>
<body>
<nav aria-label="Sections"><a href="/">Inbox</a>{sections}</nav>
<article>
{content}</article>
</body>
</html>
"""


def page(path: Path) -> str:
    """Return a file as HTML: tables and links as on GitHub, its sections at the top, HTML within it left out."""
    parser = MarkdownIt("commonmark").enable("table")
    tokens = [token for token in parser.parse(path.read_text("utf-8")) if token.type != "html_block"]
    for token in tokens:
        if token.children:
            token.children = [child for child in token.children if child.type != "html_inline"]
    headings = list(_headings(tokens))
    for heading, text in headings:
        heading.attrSet("id", anchor(text))
    title = next((text for heading, text in headings if heading.tag == "h1"), path.stem)
    sections = [
        f'<a href="#{anchor(text)}">{html.escape(text)}</a>' for heading, text in headings if heading.tag == "h2"
    ]
    content = parser.renderer.render(tokens, parser.options, {})
    return _PAGE.format(title=html.escape(title), sections="".join(sections), content=content)


def anchor(heading: str) -> str:
    """Return what a link writes behind ``#`` to lead to a heading, as on GitHub."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _headings(tokens: list[Token]) -> Iterator[tuple[Token, str]]:
    """Yield each heading with its text, without markup."""
    for token, inline in itertools.pairwise(tokens):
        if token.type == "heading_open":
            yield token, "".join(child.content for child in inline.children or ())
