"""Runs cells in a kernel of Jupyter, as a notebook does.

nbclient fills a process with threads and descriptors, so it has one of its own: `run` starts this file, which reads the
cells and prints what came of each, both as JSON. The kernel is interrupted, as by the button of a notebook, whenever a
cell shows `INTERRUPT`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SRC = Path(__file__).parents[2] / 'src'
INTERRUPT = 'interrupt this cell now'
Outputs = list[dict[str, Any]]


def run(cells: Sequence[str], folder: Path, seconds: int = 100) -> list[Outputs]:
    """Run `cells` one after the other, also behind one that fails; return the outputs of each."""
    import lab  # here, for that is not to be found where this file is run

    lab.require_modules('nbclient', 'ipykernel')
    # The paths of sockets are short.
    with tempfile.TemporaryDirectory(prefix='kernel') as short:
        environment = {
            **os.environ, 'PYTHONPATH': str(SRC), 'JUPYTER_RUNTIME_DIR': short, 'JUPYTER_CONFIG_DIR': str(folder),
            'JUPYTER_DATA_DIR': str(folder), 'IPYTHONDIR': str(folder), 'PYDEVD_DISABLE_FILE_VALIDATION': '1',
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, __file__, str(folder)], input=json.dumps(list(cells)), env=environment, text=True,
            capture_output=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr
    found: list[Outputs] = json.loads(done.stdout)
    return found


def text_of(outputs: Outputs) -> str:
    """Return all that a cell shows as plain text: streams, results, tracebacks without their colours."""
    parts = []
    for each in outputs:
        if each['output_type'] == 'stream':
            parts.append(each['text'])
        elif each['output_type'] == 'error':
            parts.append('\n'.join(each['traceback']))
        else:
            parts.append(each['data'].get('text/plain', ''))
    return re.sub(r'\x1b\[[\d;]*m', '', '\n'.join(parts))


def html_of(outputs: Outputs) -> str:
    """Return the markup that a cell shows."""
    return '\n'.join(each['data']['text/html'] for each in outputs if 'text/html' in each.get('data', {}))


def main(folder: str) -> None:
    import asyncio

    import nbclient
    import nbformat.v4 as form
    from traitlets.config import Config

    class Client(nbclient.NotebookClient):
        """Interrupts the kernel where it is asked for."""

        def output(self, outs: Any, msg: Any, display_id: Any, cell_index: Any) -> Any:
            found = super().output(outs, msg, display_id, cell_index)
            if msg['msg_type'] == 'stream' and INTERRUPT in msg['content']['text']:
                self.interrupting = asyncio.ensure_future(self.km.interrupt_kernel())
            return found

    config = Config()
    # No port, which another program may take meanwhile.
    config.KernelManager.transport = 'ipc'
    config.KernelManager.ip = os.path.join(os.environ['JUPYTER_RUNTIME_DIR'], 'socket')
    notebook = form.new_notebook(cells=[form.new_code_cell(text) for text in json.load(sys.stdin)])
    client = Client(
        notebook, config=config, kernel_name='python3', allow_errors=True, timeout=60,
        resources={'metadata': {'path': folder}})
    client.execute()
    json.dump([cell.outputs for cell in notebook.cells], sys.stdout)


if __name__ == '__main__':
    main(*sys.argv[1:])
