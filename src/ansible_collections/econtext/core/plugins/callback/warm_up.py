# Copyright: the econtext authors. MIT License, see LICENSE.
"""
The callback ``econtext.core.warm_up``: what each worker would load or build again, done once.

Ansible forks a worker for each task of each host.  What the main process has loaded before, each worker has for
nothing.  And the payloads of modules are kept from run to run: ``econtext.ansible.payload_cache``.  The daemon of the
run is started while Ansible reads on, for a play whose hosts are entered by this collection.

Invariants:

* Nothing is changed in ansible-core: this plugin asks its loaders for plugins, as a worker would, and adds files to the
  folder in which ansible-core keeps the payloads of a run.
* Whatever fails here, the run goes on as if the plugin were not there; -vvv tells what failed.
* Nothing is printed but by -vvv.

Entered by Ansible's main process only, by its main thread.
"""

from __future__ import annotations

DOCUMENTATION = """
name: warm_up
type: aggregate
short_description: load once what each worker would load again, and keep built modules from run to run
description:
  - Loads plugins, filters and tests in the main process, before it forks the workers that use them.
  - Starts the process that keeps the connections of a run when the play starts, and not at its first task.
  - Keeps the payloads of modules (AnsiballZ) from run to run. A payload is used again only while ansible-core, Python,
    the module, and every file of every folder of C(module_utils) that could be in it are the same.
  - A run in which any of this fails is a run without this plugin.
author: the econtext authors
requirements:
  - enable it, C(callbacks_enabled = econtext.core.warm_up)
options:
  payload_cache:
    description: Whether to keep payloads from run to run.
    type: bool
    default: true
    env: [{name: ECONTEXT_ANSIBLE_PAYLOAD_CACHE}]
    ini: [{section: econtext, key: payload_cache}]
  payload_cache_folder:
    description:
      - Where payloads are kept. The folder must belong to the user who runs Ansible, and to no other.
      - By default, C(econtext/ansible) in C($XDG_CACHE_HOME) or C(~/.cache).
    type: path
    env: [{name: ECONTEXT_ANSIBLE_PAYLOAD_CACHE_FOLDER}]
    ini: [{section: econtext, key: payload_cache_folder}]
  payload_cache_size:
    description: Megabytes that kept payloads may take. Those used longest ago go first.
    type: int
    default: 256
    env: [{name: ECONTEXT_ANSIBLE_PAYLOAD_CACHE_SIZE}]
    ini: [{section: econtext, key: payload_cache_size}]
"""

import functools
import importlib
import itertools
import json
import os

import ansible
from ansible import constants
from ansible.plugins import loader
from ansible.plugins.callback import CallbackBase
from ansible.release import __version__

OURS = 'econtext.core.'
HERE = {'localhost', '127.0.0.1', '::1'}    # if no inventory has them, Ansible enters them by its plugin `local`
# Loaded along with these, in any play: all filters and tests of ansible-core.
FILTERS = 'default', 'bool'
TESTS = 'defined', 'search'
PROFILE = 'legacy'


class Core:
    """The ansible-core that runs, for the payload cache; see econtext.ansible.payload_sources.Installation."""

    version = __version__
    root = os.path.dirname(os.path.abspath(ansible.__file__))

    @property
    def compression(self):
        return str(constants.DEFAULT_MODULE_COMPRESSION)

    def search(self):
        from econtext.ansible.payload_sources import Unknown

        found = [each for each in loader.module_utils_loader.print_paths().split(os.pathsep) if each]
        for one, other in itertools.pairwise(found):
            if os.path.exists(one + os.pathsep + other) or not os.path.isabs(other):
                raise Unknown('a folder of module_utils has a colon in its name')
        return [str(each) for each in found if os.path.isdir(each)]

    def module(self, name, collections):
        found = loader.module_loader.find_plugin_with_context(name, collection_list=list(collections) or None)
        return os.path.abspath(found.plugin_resolved_path) if found.resolved else None

    def collection(self, name):
        try:
            package = importlib.import_module('ansible_collections.' + name)
        except ImportError:
            return None
        return str(next(iter(package.__path__)))


def harmless(method):
    """Return the method in a form that fails without harm."""

    @functools.wraps(method)
    def wrapped(self, *args, **options):
        try:
            return method(self, *args, **options)
        except Exception as error:  # the run goes on without
            self._display.vvv(f'econtext.core.warm_up: {method.__name__}: {type(error).__name__}: {error}')

    return wrapped


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = 'aggregate'
    CALLBACK_NAME = 'econtext.core.warm_up'
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._cache = None
        self._process = os.getpid()
        self._loaded = set()    # what was asked for: a loader's name, a plugin's

    # -- what Ansible tells ------------------------------------------------------

    def v2_playbook_on_start(self, playbook):
        self._open()

    @harmless
    def v2_playbook_on_play_start(self, play):
        transport = play.connection or constants.DEFAULT_TRANSPORT
        self._start_daemon(play, transport)
        if self._cache is None:
            self._open()    # `ansible` runs a play without a playbook
        self._harvest()
        if self._cache is not None:
            self._cache.before_play()
        for name in FILTERS:
            self._load('filter_loader', name)
        for name in TESTS:
            self._load('test_loader', name)
        self._load('shell_loader', 'sh', class_only=True)
        self._load('action_loader', 'ansible.legacy.normal', class_only=True)
        self._load('become_loader', play.become_method or constants.DEFAULT_BECOME_METHOD, class_only=True)
        self._load('connection_loader', transport, class_only=True)
        self._prepare_results()
        self._prepare_profiles()
        self._prepare_templates()

    def v2_playbook_on_task_start(self, task, is_conditional):
        self._before(task)

    def v2_playbook_on_handler_task_start(self, task):
        self._before(task)

    @harmless
    def v2_runner_on_start(self, host, task):
        """Load the connection plugins that the inventory names, too."""
        for owner in (host, *host.get_groups()):
            name = owner.vars.get('ansible_connection')
            if isinstance(name, str) and '{' not in name:
                self._load('connection_loader', name, class_only=True)

    @harmless
    def v2_playbook_on_stats(self, stats):
        self._harvest()
        if self._cache is not None:
            self._cache.store.close()
            self._cache = None
            self._process = None

    # -- what is done ------------------------------------------------------------

    def _before(self, task):
        self._load('action_loader', task.action, class_only=True, collection_list=task.collections)
        self._put_in(task)

    @harmless
    def _put_in(self, task):
        if self._cache is not None and os.getpid() == self._process:
            from econtext.ansible import payload_cache

            names = payload_cache.wanted(str(task.action), asynchronous=bool(task.async_val))
            self._cache.before_task(names, [str(each) for each in task.collections or ()])

    def _load(self, kind, name, **options):
        """Have one of ansible-core's loaders load a plugin, once."""
        if (kind, str(name)) in self._loaded:
            return
        self._loaded.add((kind, str(name)))
        try:
            getattr(loader, kind).get(str(name), **options)
        except Exception as error:  # a plugin that cannot be loaded is an error of the task that uses it
            self._display.vvv(f'econtext.core.warm_up: {name} not loaded: {type(error).__name__}')

    @harmless
    def _start_daemon(self, play, transport):
        """Have the daemon of the run started, if the first task of the play is going to ask for one."""
        if str(transport).startswith(OURS) and not set(play.hosts) <= HERE:
            from econtext.ansible.client import Link

            Link(constants.DEFAULT_LOCAL_TMP, os.getpid()).start_ahead()

    @harmless
    def _prepare_results(self):
        """Have ansible-core compute the fields that the result of a task has."""
        try:
            from ansible._internal._task import UnifiedTaskResult
        except ImportError:
            return  # releases before 2.21 have no such fields
        UnifiedTaskResult.from_module_result_dict({})
        UnifiedTaskResult.from_action_result_dict({}).as_result_dict(for_round_trip=True)

    @harmless
    def _prepare_profiles(self):
        """Have ansible-core load the form in which most modules take arguments and print results."""
        try:
            from ansible.module_utils.common.json import Direction, get_module_decoder, get_module_encoder
        except ImportError:
            return  # 2.18 has no such profiles
        get_module_encoder(PROFILE, Direction.CONTROLLER_TO_MODULE)
        json.loads('{}', cls=get_module_decoder(PROFILE, Direction.MODULE_TO_CONTROLLER))

    @harmless
    def _prepare_templates(self):
        """Have Jinja make the lexer that each template needs."""
        from ansible.template import Templar

        try:
            from ansible.template import trust_as_template
        except ImportError:
            trust_as_template = str     # 2.18 has no such mark
        # A sum, since 2.18 has a way of its own for what is only a name.
        Templar(None, variables={'one': 1}).template(trust_as_template('{{ one + 1 }}'))

    @harmless
    def _open(self):
        if self._cache is not None or self._process is None or not self.get_option('payload_cache'):
            return
        from econtext.ansible import payload_cache

        folder = self.get_option('payload_cache_folder') or payload_cache.default_folder()
        try:
            store = payload_cache.Store(folder, self.get_option('payload_cache_size') * 1024 * 1024)
        except payload_cache.Refused as error:
            self._process = None    # not tried again
            self._display.vvv(f'econtext.core.warm_up: no payload is kept: {error}')
            return
        self._cache = payload_cache.PayloadCache(Core(), store, str(constants.DEFAULT_LOCAL_TMP))

    @harmless
    def _harvest(self):
        if self._cache is not None and os.getpid() == self._process:
            self._cache.harvest()
