"""The bench works: smallest sizes, econtext and what needs no peer, and no word about time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import lab

SCENARIOS = (
    'calls calls_one_cpu burst connect memory payload stream hops lines fanout crowd held modules decode '
    'awaited').split()
OVER_SSH = 'connect_ssh trips hop files files_far attach logins second_command'.split()
CONTENDERS = 'econtext raw python here scp rsync'.split()


def run(repository: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, '-m', *words], cwd=repository, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def bench(repository: Path, file: Path, scenarios: list[str]) -> tuple[str, dict[str, Any]]:
    words = ['bench', '--size', 'tiny', '--json', str(file)]
    for name in scenarios:
        words += ['--only', name]
    for name in CONTENDERS:
        words += ['--contender', name]
    return run(repository, *words), json.loads(file.read_text())


def numbers(results: dict[str, Any]) -> None:
    """Hold that nothing failed, and that econtext lacks nothing."""
    for name, found in results['scenarios'].items():
        for contender, result in found.items():
            assert 'failed' not in result, f'{name}, {contender}: {result["failed"]}'
        assert found['econtext']['rounds'], f'{name}: {found["econtext"]}'
        for measured in found['econtext']['rounds']:
            assert all(isinstance(number, (int, float)) for number in measured.values())


@pytest.mark.deadline(180)
def test_every_scenario_runs_and_the_table_shows_it(repository: Path, tmp_path: Path) -> None:
    text, results = bench(repository, tmp_path / 'found.json', SCENARIOS)
    assert list(results['scenarios']) == SCENARIOS
    numbers(results)
    assert 'one synchronous no-op call' in text
    page = tmp_path / 'page.md'
    page.write_text('Before.\n<!-- bench: begin -->\nyesterday\n<!-- bench: end -->\nAfter.\n')
    run(repository, 'bench', '--read', str(tmp_path / 'found.json'), '--docs', str(page))
    assert 'one synchronous no-op call' in page.read_text()
    assert 'yesterday' not in page.read_text()
    assert page.read_text().endswith('After.\n')
    drawn = run(repository, 'bench.plot', str(tmp_path / 'found.json'), str(tmp_path / 'drawings'))
    assert 'payload-call.svg' in drawn
    for name in ('payload-call', 'overview'):
        drawing = (tmp_path / 'drawings' / f'{name}.svg').read_text()
        assert '<svg' in drawing
        assert 'econtext' in drawing


@pytest.mark.deadline(180)
def test_those_over_ssh_run(repository: Path, tmp_path: Path) -> None:
    lab.require('sshd')
    _, results = bench(repository, tmp_path / 'found.json', OVER_SSH)
    numbers(results)


def test_all_scenarios_are_tested(repository: Path) -> None:
    listed = run(repository, 'bench', '--list').splitlines()
    assert sorted(SCENARIOS + OVER_SSH) == sorted(line.split()[0] for line in listed)


@pytest.mark.deadline(180)
def test_a_tree_is_compared_with_an_earlier_one(repository: Path, tmp_path: Path) -> None:
    if not (repository / '.git').exists():
        pytest.skip('the tree is no git checkout')
    text = run(
        repository, 'bench.compare', 'HEAD', '--size', 'tiny', '--only', 'calls', '--only', 'stream', '--rounds', '2',
        '--json', str(tmp_path / 'pairs.json'),
    )  # fmt: skip
    lines = [line.split()[:2] for line in text.splitlines() if line.startswith('calls ')]
    assert lines == [['calls', 'p50'], ['calls', 'rate']]
    pairs = json.loads((tmp_path / 'pairs.json').read_text())
    assert [len(pair) for pair in pairs['calls']] == [2, 2]


def test_a_lower_throughput_is_a_higher_cost() -> None:
    from bench.compare import costs

    slower = {'p50': 12.0, 'rate': 50.0}, {'p50': 10.0, 'rate': 100.0}
    assert costs('calls', [slower, slower]) == {'p50': (1.2, 1.2, 1.2), 'rate': (2.0, 2.0, 2.0)}


@pytest.mark.deadline(180)
def test_a_cluster_of_dask_starts_beside_another(repository: Path) -> None:
    pytest.importorskip('distributed')
    pytest.importorskip('asyncssh')
    lab.require('sshd')
    done = subprocess.run(
        [sys.executable, '-m', 'bench.dask_start', '--workers', '1', '--rounds', '1'], cwd=repository,
        capture_output=True, text=True,
    )  # fmt: skip
    # Which of both is sooner is no matter of this test.
    assert done.returncode in (0, 1), done.stderr
    assert 'start, econtext / SSHCluster: ' in done.stdout, done.stderr + done.stdout
