"""The page of Ansible's own targets says what the script would write: runs of one release leave those of others."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'design' / 'ansible-targets.md'


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location('ansible_targets', ROOT / 'scripts' / 'ansible_targets.py')
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)     # its classes look there for their types
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_script_writes(script: ModuleType) -> None:
    text = PAGE.read_text()
    assert script.listed(text)
    assert script.page([], text) == text


def test_a_result_replaces_that_of_its_release_alone(script: ModuleType) -> None:
    before = script.page([script.Result(core, 'ssh', 'raw', 0, 1.0, []) for core in ('2.18.19', '2.20.10')])
    after = script.page([script.Result('2.18.18', 'ssh', 'raw', 1, 1.0, [])], before)
    assert '| raw | failed 2.18; passed 2.20 |  |' in after


def test_a_target_that_does_not_use_the_plugin_has_not_passed(script: ModuleType) -> None:
    results = [script.Result('2.20.10', 'ssh', name, 0, 1.0, [], used) for name, used in (('args', 0), ('raw', 2))]
    text = script.page(results)
    assert '| args | unused 2.20 |  |' in text
    assert '| raw | passed 2.20 |  |' in text
    assert script.page([], text) == text


def test_a_target_that_names_a_plugin_gets_that_of_econtext(script: ModuleType, tmp_path: Path) -> None:
    files = {
        'inventory': 'one ansible_connection=ssh ansible_user=root',
        'play.yml': '- hosts: a\n  connection: local',
        'runme.sh': 'ansible -c local x; bash -c "local"',
        'others': 'ansible_connection=ssh_other connection: local.x',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    script.name_ours(tmp_path)
    assert {name: (tmp_path / name).read_text() for name in files} == {
        'inventory': 'one ansible_connection=econtext.core.ssh ansible_user=root',
        'play.yml': '- hosts: a\n  connection: econtext.core.local',
        'runme.sh': 'ansible -c econtext.core.local x; bash -c "local"',
        'others': files['others'],
    }


def test_a_target_gets_the_settings_for_which_its_aliases_ask(script: ModuleType, tmp_path: Path) -> None:
    assert script.wanted_settings(tmp_path) == {}
    (tmp_path / 'aliases').write_text('context/target\nenv/set/ONE/1\nneeds/env/set/NO/1\nenv/set/TWO/yes  # why\n')
    assert script.wanted_settings(tmp_path) == {'ONE': '1', 'TWO': 'yes'}


def test_a_target_gets_the_collections_that_are_in_it_and_in_what_it_needs(script: ModuleType, tmp_path: Path) -> None:
    for name in 'one-of', 'other', 'needed':
        (tmp_path / name / 'ansible_collections/ansible_test' / name.replace('-', '_')).mkdir(parents=True)
    (tmp_path / 'bare').mkdir()
    (tmp_path / 'one-of' / 'aliases').write_text('context/target\nneeds/target/needed\nneeds/target/bare\n')
    assert script.collections(tmp_path, 'one-of') == [str(tmp_path / 'one-of'), str(tmp_path / 'needed')]
    assert script.collections(tmp_path, 'bare') == []


def test_a_target_whose_host_is_this_machine_runs_over_the_plugin_for_it(script: ModuleType) -> None:
    over = {target: [script.variables(each, target)['ansible_connection'] for each in (script.STOCK, script.OURS)]
            for target in ('argspec', 'raw')}  # fmt: skip
    assert over == {'argspec': ['local', 'econtext.core.local'], 'raw': ['ssh', 'econtext.core.ssh']}
    # What Ansible's own plugin for it runs is not counted, thus never said to be without use.
    assert script.uses(script.STOCK, 'argspec') is None


def test_what_the_script_says_of_a_target_is_of_one_that_runs(script: ModuleType) -> None:
    said = {*script.CAUSES, *script.LOCAL, *script.LEFT_OUT, *script.LOCALES, *script.WANTED}
    assert said <= set(script.TARGETS)
    assert len(script.TARGETS) == len(set(script.TARGETS))
