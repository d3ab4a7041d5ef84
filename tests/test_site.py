"""Links: from Markdown to files and headings as Git hosts see them, and in the site as it is built."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

from spu.cli.verbs import VERBS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

BUILT = re.compile(r"docs/(_build|reference/api/generated|reference/command_line)/")


def markdown():
    found = [
        *ROOT.glob("*.md"),
        *(path for top in ("docs", "netlists", "examples") for path in (ROOT / top).rglob("*.md")),
    ]
    return sorted(path for path in found if not BUILT.match(path.relative_to(ROOT).as_posix()))


def text_of(path):
    """Without code, in which brackets are no links."""
    text = re.sub(r"^```.*?^```+$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]+`", "code", text)


def anchors(path):
    """Of headings, as GitHub and MyST make them."""
    text = re.sub(r"^```.*?^```+$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found, seen = set(), defaultdict(int)
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


@pytest.mark.parametrize("path", markdown(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_of_markdown_lead_somewhere(path):
    text = text_of(path)
    links = re.findall(r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)", text) + re.findall(
        r"(?:src|href|srcset)=\"([^\"]+)\"", text
    )
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        file, anchor = urldefrag(link)
        target = path if not file else (path.parent / unquote(file)).resolve()
        if target.parent == DOCS / "reference" / "command_line":  # made when the site is built
            assert target.stem in VERBS, link
            continue
        assert target.exists(), f"{link}: there is no such file"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{link}: no such heading"


def test_a_link_that_leads_nowhere_is_seen(tmp_path):
    page = tmp_path / "page.md"
    for wrong in ("[a](nothing.md)", "[a](page.md#nowhere)", "![a](nothing.png)", '<img src="nothing.png">'):
        page.write_text(f"# Here\n\n{wrong}\n")
        with pytest.raises(AssertionError):
            test_links_of_markdown_lead_somewhere(page)
    page.write_text("# Here it is: `code`\n\n[a](#here-it-is-code), [b](page.md), `[c](d)`, [e](https://f.g)\n")
    test_links_of_markdown_lead_somewhere(page)


class Page(HTMLParser):
    """What a page of the site names, and what it needs."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.needed = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif given.get("src") or (tag == "link" and given.get("rel") != "canonical" and given.get("href")):
            self.needed.append(given.get("src") or given["href"])


def lost(site):
    """What the pages of a built site name and is not there, and what they would fetch."""
    built = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in built}
    found = []
    for path, page in pages.items():
        for link in [*page.links, *page.needed]:
            if re.match(r"[a-z]+:|//", link):
                if link in page.needed and not link.startswith("data:"):
                    found.append(f"{path.relative_to(site)} fetches {link}")
                continue
            file, anchor = urldefrag(link)
            file = unquote(file.partition("?")[0])
            target = (path.parent / file).resolve() if file else path
            target = target / "index.html" if target.is_dir() else target
            there = target.exists() and (not anchor or target not in pages or unquote(anchor) in pages[target].ids)
            if not there:
                found.append(f"{path.relative_to(site)}: {link}")
    return found


def test_a_lost_link_of_a_site_is_seen(tmp_path):
    (tmp_path / "a.html").write_text('<p id="x"><a href="b.html#y">b</a> <a href="#x">x</a><img src="data:,"></p>')
    (tmp_path / "b.html").write_text('<p id="y"><a href="a.html?q=1#x">a</a> <a href="https://c.d">d</a></p>')
    assert lost(tmp_path) == []
    wrong = (
        '<a href="c.html">',
        '<a href="b.html#z">',
        '<a href="#z">',
        '<img src="c.png">',
        '<script src="//e.f/g.js">',
    )
    for each in wrong:
        (tmp_path / "a.html").write_text(f'<p id="x">{each}')
        assert len(lost(tmp_path)) == 1, each


@pytest.mark.long
def test_the_site_builds_without_a_warning_and_every_link_in_it_leads_somewhere(tmp_path):
    site = tmp_path / "html"
    options = ["-W", "--keep-going", "--nitpicky", "-q", "-E", "-d", tmp_path / "kept", "-b", "html"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *map(str, options), str(DOCS), str(site)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    for page in ("index.html", "reference/command_line/check.html", "reference/api/generated/spu.compile.html"):
        assert (site / page).exists()
    assert lost(site) == []
