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
    pages = {
        path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html") if "_static" not in path.parts
    }
    assert {"index.html", "reference/command_line/check.html", "reference/api/generated/spu.compile.html"} <= {
        path.relative_to(site).as_posix() for path in pages
    }
    for path, page in pages.items():
        for link in page.needed:
            assert not re.match(r"[a-z]+:|//", link) or link.startswith("data:"), f"{path}: {link} would be fetched"
        for link in [*page.links, *page.needed]:
            if re.match(r"[a-z]+:|//", link):
                continue
            file, anchor = urldefrag(link.partition("?")[0] + ("#" + link.partition("#")[2] if "#" in link else ""))
            target = path if not file else (path.parent / unquote(file)).resolve()
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{path.relative_to(site)}: {link}"
            if anchor and target in pages:
                assert unquote(anchor) in pages[target].ids, f"{path.relative_to(site)}: {link}"
