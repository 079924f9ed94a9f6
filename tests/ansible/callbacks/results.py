"""A callback of Ansible that writes each result as a line of JSON into the file that RESULTS names."""

from __future__ import annotations

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: results
type: aggregate
short_description: results as lines of JSON
description: For tests.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = 'aggregate'
    CALLBACK_NAME = 'results'

    def note(self, kind, result):
        task, host = getattr(result, 'task', None) or result._task, getattr(result, 'host', None) or result._host
        value = getattr(result, 'result', None) or result._result
        with open(os.environ['RESULTS'], 'a') as file:
            line = {'host': host.get_name(), 'task': task.get_name(), 'kind': kind, 'result': value}
            file.write(json.dumps(line, default=str) + '\n')

    def v2_runner_on_ok(self, result):
        self.note('ok', result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self.note('failed', result)

    def v2_runner_on_unreachable(self, result):
        self.note('unreachable', result)
