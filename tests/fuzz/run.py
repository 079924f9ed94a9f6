"""Fuzz one target, guided by coverage.

    python tests/fuzz/run.py TARGET SECONDS FOLDER …

FOLDER is a corpus, the first of them grows; what fails is written into the first as crash-… and ends the run.
Needs atheris (dependency group fuzz).
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent))

with atheris.instrument_imports(include=['econtext', 'targets']):
    import targets


def main() -> None:
    name, seconds, *folders = sys.argv[1:]
    logging.getLogger('econtext').setLevel(logging.CRITICAL)
    options = ['-max_len=4096', '-timeout=10', '-rss_limit_mb=1024', '-verbosity=0', '-print_final_stats=1']
    options += [f'-max_total_time={seconds}', f'-artifact_prefix={folders[0]}/']
    atheris.Setup([sys.argv[0], *options, *folders], targets.TARGETS[name])
    atheris.Fuzz()


if __name__ == '__main__':
    main()
