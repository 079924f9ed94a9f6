"""Joins the sites of several versions in one folder: a list that each page offers, and a first page.

    python3 docs/site/versions.py FOLDER        its folders are versions, or `development`
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

SCRIPT = """\
'use strict';
(() => {
  const names = NAMES;
  const list = document.querySelector('.versions select');
  const root = new URL(list.dataset.root, location.href);
  const here = location.href.slice(root.href.length).split('/')[0];
  for (const name of names) list.add(new Option(name, name, false, name === here));
  list.addEventListener('change', () => location.assign(new URL(list.value + '/index.html', root)));
  document.querySelector('.versions .version')?.remove();
  list.hidden = false;
})();
"""
FIRST = """\
<!doctype html>
<meta charset="utf-8">
<title>econtext</title>
<link rel="icon" href="NAME/_static/favicon.svg">
<meta http-equiv="refresh" content="0; url=NAME/index.html">
<p><a href="NAME/index.html">econtext NAME</a></p>
"""


def order(name: str) -> tuple[int, ...]:
    """The newest version first, `development` last."""
    numbers = tuple(-int(part) for part in re.findall(r'\d+', name))
    return numbers or (1,)


def main() -> None:
    folder = Path(sys.argv[1])
    names = sorted((path.parent.name for path in folder.glob('*/index.html')), key=order)
    (folder / 'versions.js').write_text(SCRIPT.replace('NAMES', json.dumps(names)))
    (folder / 'index.html').write_text(FIRST.replace('NAME', names[0]))


if __name__ == '__main__':
    main()
