"""
What a build adds: to the wheel what travels, made small once, and the version; to the metadata what a reader of the
package's page sees.

What travels is the preamble, and the squeezed sources of what follows it.  A checkout
makes them when a first context starts.  So they are not left in ``src/``, where
they would grow stale: an editable installation goes without.  Only ``scripts/test`` has
them there while it runs, for the many programs that tests start.
"""

from __future__ import annotations

import importlib.util
import re
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface


class PreambleHook(BuildHookInterface[BuilderConfig]):
    """Add the files that the packer makes beside the package's modules."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == 'editable':
            return
        self.folder = tempfile.TemporaryDirectory()
        for name, content in built_files(Path(self.root, 'src')).items():
            built = Path(self.folder.name, name)
            built.write_bytes(content)
            build_data['force_include'][str(built)] = 'econtext/' + name
        stated = Path(self.folder.name, '_version.py')
        stated.write_text(f'"""The version of this package."""\n\n__version__ = {self.metadata.version!r}\n', 'utf-8')
        build_data['force_include'][str(stated)] = 'econtext/_version.py'

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != 'editable':
            self.folder.cleanup()


def built_files(source: Path) -> dict[str, bytes]:
    """Return name -> content of what a built package holds beside the modules in `source`."""
    modules = source / 'econtext' / 'controller' / 'modules'
    packer, manifest = load(modules / 'packer.py'), load(modules / 'manifest.py')
    paths = [path for ring in manifest.RINGS for path in sorted((source / 'econtext' / ring).glob('*.py'))]
    texts = {name_of(path.relative_to(source)): path.read_text('utf-8') for path in paths}
    files: dict[str, bytes] = packer.built_files(manifest.PREAMBLE, list(texts), texts.__getitem__)
    return {**files, packer.BUILT_BODIES: packer.first_bodies(str(source))}


class DescriptionHook(MetadataHookInterface):
    """
    Add the long description, README.md, and the project's URLs.

    The page of a package lies elsewhere than the files that README.md links to.  The links become whole addresses, or
    plain text as long as the project has no public address.
    """

    def update(self, metadata: dict[str, Any]) -> None:
        address = self.config.get('address', '').rstrip('/')
        text = Path(self.root, 'README.md').read_text('utf-8')
        metadata['readme'] = {'content-type': 'text/markdown', 'text': described(text, address)}
        metadata['urls'] = urls(address)


FENCE = re.compile(r'^```.*?^```$', re.MULTILINE | re.DOTALL)
LINK = re.compile(r'\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?![a-z]+:)([^)\s]+)\)')


def described(text: str, address: str) -> str:
    """Return the Markdown `text` with each link into the repository made an address, or plain text without one."""

    def replace(match: re.Match[str]) -> str:
        words, target = match.groups()
        if target.startswith('#'):
            return match[0]
        return f'[{words}]({address}/blob/HEAD/{target})' if address else words

    parts, end = [], 0
    for fence in FENCE.finditer(text):
        parts += [LINK.sub(replace, text[end : fence.start()]), fence[0]]
        end = fence.end()
    return ''.join([*parts, LINK.sub(replace, text[end:])])


def urls(address: str) -> dict[str, str]:
    """Return the project's URLs; none before the project has an address."""
    if not address:
        return {}
    return {
        'Homepage': address,
        'Documentation': address + '/blob/HEAD/docs/howto/index.md',
        'Changelog': address + '/blob/HEAD/CHANGELOG.md',
        'Issues': address + '/issues',
    }


def name_of(path: Path) -> str:
    """Return the name of the module at `path`, which starts at the package."""
    return '.'.join(part for part in path.with_suffix('').parts if part != '__init__')


def load(path: Path) -> ModuleType:
    """Import the module at `path` without importing the package around it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, 'a path that ends in .py has a loader'
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
