"""The site, in a real browser: what a reader sees on a wide and on a narrow screen.

`ECONTEXT_SCREENSHOTS=FOLDER scripts/test tests/site` saves a picture of each page that is looked at.
"""

from __future__ import annotations

import functools
import html.parser
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

import lab
from lab import eventually
from lab.browser import Browser

pytestmark = pytest.mark.deadline(600)
WIDTHS = 1280, 390
PAGES = (
    'index.html', 'tutorial.html', 'how-it-works.html', 'performance.html', 'howto/many-hosts.html',
    'howto/migrating.html', 'reference/index.html', 'reference/connectors.html', 'reference/context.html',
    'reference/reach.html', 'design/wire.html', 'changes.html',
)  # fmt: skip

# What of a page is wider than the screen? Tables, listings and pictures may be, each in a frame that scrolls.
# The page itself does not tell: on a narrow screen the theme lets the text scroll sideways as a whole.
OVERFLOW = """(() => {
  const width = document.documentElement.clientWidth + 1;
  const fits = each => each !== null && each.getBoundingClientRect().right <= width;
  return [...document.querySelectorAll('article *')].filter(each => {
    const box = each.getBoundingClientRect();
    return box.width > 0 && box.right > width
      && !fits(each.parentElement.closest('.table-wrapper, pre, figure.picture'));
  }).map(each => each.outerHTML.slice(0, 100));
})()"""
SIDEWAYS = 'document.documentElement.scrollWidth > document.documentElement.clientWidth'
LOST_IMAGES = '[...document.images].filter(each => !each.complete || !each.naturalWidth).map(each => each.src)'


@pytest.fixture(scope='module')
def built(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with every warning an error, as one of several versions; the other is a copy of it."""
    folder = tmp_path_factory.mktemp('site')
    command = [str(repository / 'scripts' / 'site'), str(folder / 'development')]
    made = subprocess.run(
        command, env={**os.environ, 'SITE_MANY_VERSIONS': '1'}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    assert made.returncode == 0, made.stdout
    shutil.copytree(folder / 'development', folder / '0.9.0', copy_function=os.link)
    subprocess.run([sys.executable, str(repository / 'docs' / 'site' / 'versions.py'), str(folder)], check=True)
    return folder / 'development'


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(built: Path) -> Iterator[str]:
    """Where a server of this test has the site."""
    handler = functools.partial(Handler, directory=str(built.parent))
    # A browser opens connections ahead of use: one thread alone would wait for a first request that never comes.
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        server.daemon_threads = False
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f'http://127.0.0.1:{server.server_address[1]}/development/'
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(params=WIDTHS)
def browser(request: pytest.FixtureRequest, address: str, tmp_path: Path) -> Iterator[Browser]:
    """A browser, which ends before the server does, and so with its connections."""
    assert address
    lab.require('browser')
    with Browser(tmp_path / 'profile', width=request.param) as made:
        yield made


def keep(browser: Browser, name: str) -> None:
    folder = os.environ.get('ECONTEXT_SCREENSHOTS')
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.picture(Path(folder, name + '.png'))


class Links(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.targets: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == 'id' and value:
                self.names.add(value)
            elif name in ('href', 'src') and value:
                self.targets.append(value)


def test_every_link_within_the_site_leads_to_something(built: Path) -> None:
    found = {path: Links(path.read_text('utf-8')) for path in built.rglob('*.html')}
    assert len(found) > 40
    broken = []
    for path, page in found.items():
        for target in page.targets:
            parts = urllib.parse.urlsplit(target)
            if parts.scheme:
                continue
            there = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            there = there / 'index.html' if there.is_dir() else there
            fragment = urllib.parse.unquote(parts.fragment)
            if not there.exists() or (fragment and there in found and fragment not in found[there].names):
                broken.append(f'{path.relative_to(built)}: {target}')
    assert [each for each in broken if not each.endswith(': #')] == []


def test_nothing_is_loaded_from_elsewhere(built: Path) -> None:
    """Whoever reads the site without a network, or wants no third party to know, gets all of it."""
    for path in built.rglob('*.html'):
        assert re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//[^"]+"', path.read_text('utf-8')) == []


def test_no_page_overflows_and_all_load(browser: Browser, address: str) -> None:
    for page in PAGES:
        browser.open(address + page)
        keep(browser, f'{page[:-5].replace("/", "-")}-{browser.width}')
        assert browser.run(OVERFLOW) == [], page
        assert not browser.run(SIDEWAYS), page
        assert browser.run(LOST_IMAGES) == [], page
        assert browser.run('document.querySelector("article h1").textContent.length > 0'), page
        assert browser.complaints == [], page


def test_the_checks_see_what_is_wrong(browser: Browser, address: str) -> None:
    browser.open(address + 'index.html')
    browser.run("""document.querySelector('article').insertAdjacentHTML(
        'beforeend', '<div style="width: 3000px">wide</div><img src="missing.png">')""")
    browser.run("console.error('said')")
    browser.wait(LOST_IMAGES + '.length === 1')
    assert any('3000px' in each for each in browser.run(OVERFLOW))
    for complaint in 'missing.png', 'said':
        # The browser tells of these when it likes.
        eventually(lambda: browser.run('true') and any(complaint in each for each in browser.complaints))  # noqa: B023


def test_search_finds_ssh(browser: Browser, address: str) -> None:
    browser.open(address + 'search.html?q=ssh')
    browser.wait("document.querySelectorAll('#search-results li').length > 0")
    found = browser.run("[...document.querySelectorAll('#search-results li > a')].map(each => each.pathname)")
    assert any('/reference/' in each for each in found), found
    # The summaries of the results are fetched one by one.
    browser.wait("document.querySelector('#search-results p.context') !== null")
    keep(browser, f'search-{browser.width}')
    assert browser.run(OVERFLOW) == []
    assert browser.complaints == []


def test_the_search_field_leads_there(browser: Browser, address: str) -> None:
    browser.open(address + 'index.html')
    browser.follow("""(() => {
        const field = document.querySelector('.sidebar-search');
        field.value = 'ssh';
        field.form.submit();
    })()""")
    assert browser.run("location.pathname.endsWith('/search.html')")
    browser.wait("document.querySelectorAll('#search-results li').length > 0")
    assert browser.complaints == []


def test_a_reader_chooses_the_version(browser: Browser, address: str) -> None:
    list_of = "document.querySelector('.versions select')"
    browser.open(address + 'howto/sudo.html')
    browser.wait(f'{list_of}.options.length > 0')
    assert browser.run(f'[...{list_of}.options].map(each => each.value)') == ['0.9.0', 'development']
    assert browser.run(f'{list_of}.value') == 'development'
    browser.follow(f"{list_of}.value = '0.9.0'; {list_of}.dispatchEvent(new Event('change'))")
    assert browser.run("location.pathname === '/0.9.0/index.html'")
    browser.open(address.removesuffix('development/'))
    browser.wait("location.pathname === '/0.9.0/index.html'")
    assert browser.complaints == []


@pytest.mark.parametrize('dark', [False, True])
def test_the_pictures_have_the_theme_s_colours(address: str, tmp_path: Path, dark: bool) -> None:
    lab.require('browser')
    with Browser(tmp_path / 'profile', dark=dark) as browser:
        browser.open(address + 'index.html')
        keep(browser, 'front-dark' if dark else 'front-light')
        ground, box = browser.run(
            "[document.body, document.querySelector('.picture .ink')].map((each, i) => "
            "getComputedStyle(each)[i ? 'fill' : 'backgroundColor'])")
        assert is_dark(ground) == dark
        assert is_dark(box) != dark, 'the words of a picture stand out from the ground'
        browser.open(address + 'performance.html')
        browser.run("document.querySelector('article img').scrollIntoView()")
        keep(browser, 'performance-dark' if dark else 'performance-light')
        browser.run("document.querySelector('.theme-toggle').click()")
        assert is_dark(browser.run('getComputedStyle(document.body).backgroundColor')) != dark
        assert browser.complaints == []


def is_dark(colour: str) -> bool:
    red, green, blue = (int(each) for each in colour.strip('rgba()').split(',')[:3])
    return red + green + blue < 384
