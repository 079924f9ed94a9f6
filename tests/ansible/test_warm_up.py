"""The callback econtext.core.warm_up: what workers find loaded, and that nothing of it is needed."""

from __future__ import annotations

import collections
import json
import re
from pathlib import Path

import cores
import pytest

PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - command: echo {{ 'one' | upper | default('two') }}
      register: said
    - assert: {that: said.stdout is defined and said.stdout is search('ONE')}
    - debug: msg="{{ said.stdout }}"
"""
WORKERS = {'FilterModule', 'TestModule'}  # what Ansible has each worker load
CALLBACK = {'ANSIBLE_CALLBACKS_ENABLED': 'econtext.core.warm_up'}


@pytest.fixture(params=cores.FORMATS)
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> cores.Project:
    made = cores.Project(tmp_path / 'project', cores.core(request.param, tmp_path_factory.getbasetemp()))
    made.write('site.yml', PLAYBOOK)
    return made


def plain(text: str) -> str:
    """Return what a playbook printed, without what differs from run to run."""
    return re.sub(r'[\d:.]{6,}', '', text)


def loaded_again(text: str) -> set[str]:
    """Return the kinds of plugins of which some was loaded more than once: by several workers."""
    lines = [line for line in text.splitlines() if ': Loading ' in line and 'found_in_cache=True' not in line]
    found = collections.Counter(line.split(': Loading ')[1].partition(' from ')[0] for line in lines)
    return {name.split()[0] for name, count in found.items() if count > 1}


@pytest.mark.deadline(300)
def test_workers_find_loaded_what_they_use(project: cores.Project) -> None:
    hosts = ('-i', 'one,two,')
    assert loaded_again(project.run(*hosts, ANSIBLE_DEBUG='1')) >= WORKERS
    again = loaded_again(project.run(*hosts, ANSIBLE_DEBUG='1', **CALLBACK))
    assert not again & (WORKERS | {'ActionModule', 'Connection', 'ShellModule'})


@pytest.mark.deadline(300)
def test_a_run_prints_the_same_with_and_without_and_if_all_fails(project: cores.Project) -> None:
    without = plain(project.run())
    assert '"msg": "ONE"' in without
    assert plain(project.run(**CALLBACK)) == without
    project.write('broken/econtext/__init__.py', 'raise RuntimeError("broken")\n')
    broken = project.run('-vvv', PYTHONPATH=str(project.folder / 'broken'), **CALLBACK)
    assert 'econtext.core.warm_up: _open: RuntimeError: broken' in broken
    assert plain(project.run(PYTHONPATH=str(project.folder / 'broken'), **CALLBACK)) == without


@pytest.mark.deadline(300)
def test_ansible_doc_shows_its_options(project: cores.Project) -> None:
    text = project.output('ansible-doc', '-t', 'callback', '--json', 'econtext.core.warm_up')
    options = json.loads(text)['econtext.core.warm_up']['doc']['options']
    assert sorted(options) == ['payload_cache', 'payload_cache_folder', 'payload_cache_size']


AHEAD = """
- hosts: %s
  gather_facts: false
  tasks:
    - debug: msg="there are {{ lookup('pipe', 'ls $ANSIBLE_LOCAL_TEMP/*') }}"
"""


@pytest.mark.deadline(300)
def test_the_daemon_starts_with_a_play_that_needs_it(project: cores.Project) -> None:
    for hosts, transport, starts in ('all', 'econtext.core.local', True), ('localhost', 'econtext.core.local', False), (
            'all', 'local', False):
        project.write('site.yml', AHEAD % hosts)
        text = project.run('-i', 'one,', '-c', transport, ANSIBLE_LOCAL_TEMP=str(project.folder / 'runs'), **CALLBACK)
        assert '"msg": "there are ' in text
        assert ('econtext.lock' in text) == starts, text


# In a worker: which caches a module has filled, and which modules it has loaded.
PROBE = """
import functools, gc, sys
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        caches = [each for each in gc.get_objects() if isinstance(each, functools._lru_cache_wrapper)]
        misses = [each.cache_info().misses for each in caches]
        modules = set(sys.modules)
        result = self._execute_module(module_name='ping', task_vars=task_vars)
        computed = {each.__qualname__ for each, before in zip(caches, misses) if each.cache_info().misses > before}
        return dict(result, seen=' '.join(sorted(computed | set(sys.modules) - modules)) + ' ')
"""
# In each worker, before it does anything: how many lexers Jinja and Ansible have.
COUNT = """
import os
import jinja2.lexer
from ansible.plugins.callback import CallbackBase
from ansible.template import Templar

class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_NAME = 'count'

    def v2_playbook_on_play_start(self, play):
        os.register_at_fork(after_in_child=self.count)

    def count(self):
        own = getattr(Templar(None).environment, '_lexer_cache', ())
        with open('lexers', 'a') as file:
            file.write('%d\\n' % (len(jinja2.lexer._lexer_cache) + len(own)))
"""


@pytest.mark.deadline(300)
def test_a_worker_finds_ready_what_each_module_needs(project: cores.Project) -> None:
    project.write('action_plugins/probe.py', PROBE)
    project.write('callback_plugins/count.py', COUNT)
    project.write('site.yml', '- hosts: all\n  gather_facts: false\n  tasks: [probe: ]\n')

    def seen(**environment: str) -> tuple[int, set[str]]:
        text = project.run('-v', **environment)
        found = re.search(r'"seen": "(.*?) "', text)
        assert found, text
        lexers = project.folder / 'lexers'
        count = int(lexers.read_text().split()[-1])
        lexers.unlink()
        return count, set(found[1].split())

    lexers, _ = seen()
    more_lexers, new = seen(**CALLBACK)
    assert more_lexers == lexers + 1
    # Where plugins may come from differs from module to module.
    assert new <= {'PluginLoader._get_builtin_routing_metadata'}
