"""Payloads that are kept from run to run: entries, sources, the folder, and real runs of each ansible-core."""

from __future__ import annotations

import base64
import io
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cores
import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.ansible import payload_cache, payload_entries, payload_sources
from econtext.ansible.payload_cache import PayloadCache, Refused, Store
from econtext.ansible.payload_entries import Damaged, Header, Kept
from econtext.ansible.payload_sources import Sources, Unknown

HEADER = Header('ansible.modules.ping-ZIP_DEFLATED-none', ('my.own',), ('ansible/a.sh',), '12')
KEY = '0' * 64


# -- entries ------------------------------------------------------------------


@given(st.text(max_size=30), st.lists(st.text(max_size=9), max_size=3), st.binary(max_size=300))
def test_an_entry_comes_back_as_it_was(file: str, collections: list[str], payload: bytes) -> None:
    header = Header(file, tuple(collections), (), 'x')
    assert payload_entries.unpack(payload_entries.pack(header, payload)) == (header, payload)


@given(st.data(), st.binary(max_size=100))
def test_any_change_of_an_entry_is_found(data: st.DataObject, payload: bytes) -> None:
    entry = payload_entries.pack(HEADER, payload)
    at = data.draw(st.integers(0, len(entry) - 1))
    changed = bytearray(entry)
    changed[at] ^= data.draw(st.integers(1, 255))
    for bad in (entry[:at], bytes(changed), entry + payload + b'x'):
        with pytest.raises(Damaged):
            payload_entries.unpack(bad)


@given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
def test_parts_cut_elsewhere_have_another_digest(one: list[bytes], other: list[bytes]) -> None:
    assert (payload_entries.digest(*one) == payload_entries.digest(*other)) == (one == other)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9)), max_size=12), st.integers(0, 200), st.integers(0, 9))
def test_what_stays_fits_and_was_used_last(sizes: list[tuple[int, int]], size: int, count: int) -> None:
    entries = [Kept(f'{number:02}', *each) for number, each in enumerate(sizes)]
    gone = set(payload_entries.surplus(entries, size, count))
    left = [each for each in entries if each.name not in gone]
    assert sum(each.size for each in left) <= size or not left
    assert len(left) <= count
    went = [each for each in entries if each.name in gone]
    assert not went or not left or max(each.used for each in went) <= min(each.used for each in left)
    if went:    # one more would not have fitted
        last = max(went, key=lambda each: (each.used, each.name))
        assert sum(each.size for each in left) + last.size > size or len(left) + 1 > count


def zipped(members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, 'w') as writing:
        for name, content in members.items():
            writing.writestr(name, content)
    return base64.b64encode(made.getvalue())


@given(st.binary(max_size=200))
def test_foreign_bytes_are_no_payload(payload: bytes) -> None:
    for each in (payload, b'\x80' + payload, base64.b64encode(payload)):
        try:
            payload_entries.members(each)
        except Damaged:
            continue
        raise AssertionError('taken for a payload')


def test_a_pickle_that_names_other_classes_is_refused_and_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
            return os.mkdir, (str(tmp_path / 'made'),)

    with pytest.raises(Damaged, match='mkdir'):
        payload_entries.members(pickle.dumps(Evil()))
    assert not (tmp_path / 'made').exists()


# -- sources ------------------------------------------------------------------


class FakeCore:
    """An installation in a folder: `lib/ansible`, `utils` beside the playbook, `collections`, `library`."""

    version = '2.21.5'
    compression = 'ZIP_DEFLATED'

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = str(folder / 'lib' / 'ansible')
        self.write('lib/ansible/module_utils/basic.py', 'BASIC = 1\n')
        self.write('lib/ansible/modules/ping.py', 'import ansible.module_utils.basic\n')

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def search(self) -> list[str]:
        # As ansible-core itself tells them, its own last.
        return [str(self.folder / 'utils'), f'{self.root}/module_utils']

    def module(self, name: str, collections: Sequence[str]) -> str | None:
        for place in (self.folder / 'library', Path(self.root) / 'modules'):
            if (path := place / f'{name.split(".")[-1]}.py').exists():
                return str(path)
        return None

    def collection(self, name: str) -> str | None:
        path = self.folder / 'collections' / name
        return str(path) if path.is_dir() else None


@pytest.fixture
def core(tmp_path: Path) -> FakeCore:
    return FakeCore(tmp_path)


def key(core: FakeCore, sources: Sources | None = None) -> str:
    sources = sources or Sources(core)
    sources.look_again()
    path = core.module('ping', ())
    assert path
    return sources.key(path, sources.base())


CHANGES: dict[str, Callable[[FakeCore], object]] = {
    'the module': lambda core: core.write('lib/ansible/modules/ping.py', 'import ansible.module_utils.basix\n'),
    'module_utils': lambda core: core.write('lib/ansible/module_utils/basic.py', 'BASIC = 2\n'),
    'a new module_utils': lambda core: core.write('lib/ansible/module_utils/further/new.py', ''),
    'one that comes first': lambda core: core.write('utils/basic.py', 'BASIC = 1\n'),
    'an empty folder of them': lambda core: (core.folder / 'utils').mkdir(),
    'redirections': lambda core: core.write('lib/ansible/config/ansible_builtin_runtime.yml', ''),
    'the release': lambda core: setattr(core, 'version', '2.21.6'),
    'the compression': lambda core: setattr(core, 'compression', 'ZIP_STORED'),
    'a module that comes first': lambda core: core.write('library/ping.py', 'import ansible.module_utils.basic\n'),
}


@pytest.mark.parametrize('what', CHANGES)
@pytest.mark.parametrize('again', [False, True], ids=['another run', 'the same run'])
def test_a_change_of_any_source_is_another_key(core: FakeCore, what: str, again: bool) -> None:
    sources = Sources(core)
    before = key(core, sources)
    assert key(core, sources) == key(core) == before
    CHANGES[what](core)
    assert key(core, sources if again else None) != before


def test_a_name_that_changes_is_another_key(core: FakeCore) -> None:
    path = core.write('utils/one.py', '')
    before = key(core)
    path.rename(path.with_name('two.py'))
    assert key(core) != before


def test_a_change_that_keeps_size_and_time_is_another_key(core: FakeCore) -> None:
    path = core.write('utils/basic.py', 'BASIC = 1\n')
    os.utime(path, (10**9, 10**9))
    sources = Sources(core)
    before = key(core, sources)
    path.write_text('BASIC = 2\n')
    os.utime(path, (10**9, 10**9))
    assert key(core, sources) != before


def test_sources_that_stay_are_looked_at_by_folders_alone(core: FakeCore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is a key for each task, a file that is not read again costs as much as one that is not opened."""
    core.write('utils/basic.py', 'BASIC = 1\n')
    monkeypatch.setattr(payload_sources, 'SETTLED', -10**18)
    sources = Sources(core)
    before = key(core, sources)
    looked: list[str] = []
    plain = sources.file
    monkeypatch.setattr(sources, 'file', lambda path: looked.append(os.path.basename(path)) or plain(path))
    assert key(core, sources) == before
    assert sorted(looked) == ['ansible_builtin_runtime.yml', 'ping.py']
    looked.clear()
    core.write('utils/basic.py', 'BASIC = 2\n')
    assert key(core, sources) != before
    assert 'basic.py' in looked


def test_ansible_itself_is_looked_at_once_for_a_play(
    core: FakeCore, store: Store, monkeypatch: pytest.MonkeyPatch,
) -> None:
    Run(core, store, 'a').play()
    run = Run(core, store, 'b')
    walked: list[str] = []
    walk = payload_sources.walk
    monkeypatch.setattr(payload_sources, 'walk', lambda path: walked.append(path) or walk(path))
    own, beside = f'{core.root}/module_utils', core.write('utils/other.py', '').parent
    for _ in 'ab':
        run.cache.before_play()
        for name in 'ping', 'ping', 'pong':
            run.cache.before_task([name])
    assert walked.count(own) == 2
    assert walked.count(str(beside)) == 6


def test_a_change_of_ansible_itself_between_plays_is_built(core: FakeCore, store: Store) -> None:
    Run(core, store, 'a').play()
    run = Run(core, store, 'b')
    run.cache.before_task(['ping'])
    core.write('lib/ansible/module_utils/basic.py', 'BASIC = 3\n')
    run.cache.before_play()
    assert run.play()


def test_what_cannot_be_known_has_no_key(core: FakeCore, monkeypatch: pytest.MonkeyPatch) -> None:
    (core.folder / 'utils').mkdir()
    (core.folder / 'utils' / 'loop').symlink_to(core.folder)
    with pytest.raises(Unknown, match='link'):
        key(core)
    (core.folder / 'utils' / 'loop').unlink()
    os.mkfifo(core.folder / 'utils' / 'fifo.py')
    with pytest.raises(Unknown, match=r'fifo\.py'):
        key(core)
    (core.folder / 'utils' / 'fifo.py').unlink()
    core.write('utils/a.py', '')
    core.write('utils/b.py', '')
    monkeypatch.setattr(payload_sources, 'FILES', 1)
    with pytest.raises(Unknown, match='more than'):
        key(core)


def test_collections_that_are_named_are_part_of_the_sources(core: FakeCore) -> None:
    members = {
        'ansible/modules/ping.py': b'if 0:\n    import ansible_collections.my.own.plugins.module_utils.a\n',
        'ansible_collections/my/far/plugins/modules/x.py': b'from ....near.plugins.module_utils import b\n',
    }  # fmt: skip
    assert payload_sources.mentioned(members) == ['my.far', 'my.near', 'my.own']
    sources = Sources(core)
    seen = {sources.further(['my.own'], [])}
    for name in ('a.py', 'plugins/module_utils/a.py', 'meta/runtime.yml'):
        core.write(f'collections/my.own/{name}', '')
        seen.add(sources.further(['my.own'], []))
    assert len(seen) == 4


# -- the folder -----------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(str(tmp_path / 'cache' / 'deep'))
    yield made
    made.close()


def test_an_entry_is_kept_privately(store: Store, tmp_path: Path) -> None:
    store.put(KEY, b'entry')
    assert store.get(KEY) == b'entry'
    assert (tmp_path / 'cache' / 'deep').stat().st_mode & 0o777 == 0o700
    assert (tmp_path / 'cache' / 'deep' / KEY).stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path / 'cache' / 'deep') == [KEY]
    store.drop(KEY)
    assert store.get(KEY) is None


def test_only_the_users_own_files_are_read(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / 'cache' / 'deep'
    (tmp_path / 'foreign').write_bytes(b'entry')
    (folder / KEY).symlink_to(tmp_path / 'foreign')
    assert store.get(KEY) is None
    (folder / KEY).unlink()
    os.mkfifo(folder / KEY)
    assert store.get(KEY) is None
    if os.geteuid() == 0:
        (folder / KEY).unlink()
        store.put(KEY, b'entry')
        os.chown(folder / KEY, 12345, -1)
        assert store.get(KEY) is None


def test_a_folder_of_others_is_refused(tmp_path: Path) -> None:
    wide = tmp_path / 'wide'
    wide.mkdir(mode=0o755)
    wide.chmod(0o755)
    with pytest.raises(Refused, match='alone'):
        Store(str(wide))
    (tmp_path / 'link').symlink_to(tmp_path)
    for bad in (tmp_path / 'link', wide / 'file', Path('relative')):
        (wide / 'file').touch()
        with pytest.raises(Refused):
            Store(str(bad))
    with pytest.raises(Refused):
        Store('/proc/econtext')
    if os.geteuid() == 0:
        wide.chmod(0o700)
        os.chown(wide, 12345, -1)
        for bad in (wide, wide / 'below'):
            with pytest.raises(Refused):
                Store(str(bad))
        assert os.listdir(wide) == ['file']


def test_entries_used_longest_ago_go_first(tmp_path: Path) -> None:
    store = Store(str(tmp_path / 'cache'), count=2)
    try:
        for number in range(3):
            store.put(str(number) * 64, b'entry')
            os.utime(tmp_path / 'cache' / (str(number) * 64), (number, number))
        assert store.get('0' * 64)    # used now
        for age, name in ((9999, 'aa'), (0, 'bb')):
            draft = tmp_path / 'cache' / f'.{KEY}.{name}'
            draft.touch()
            os.utime(draft, (draft.stat().st_mtime - age,) * 2)
        store.prune()
        assert sorted(os.listdir(tmp_path / 'cache')) == [f'.{KEY}.bb', '0' * 64, '2' * 64]
    finally:
        store.close()


# -- one run, without Ansible -----------------------------------------------------


class Run:
    """What a run of Ansible does in its own folder."""

    def __init__(self, core: FakeCore, store: Store, name: str) -> None:
        self.core = core
        self.folder = core.folder / name / 'ansiballz_cache'
        self.cache = PayloadCache(core, store, str(core.folder / name))

    def builds(self, name: str = 'ping') -> bool:
        """Build a module's payload, if it is not there; return whether it was built."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f'ansible.modules.{name}-ZIP_DEFLATED-none'
        if path.exists():
            return False
        utils = self.core.folder / 'utils' / 'basic.py'
        if not utils.exists():
            utils = Path(self.core.root) / 'module_utils' / 'basic.py'
        module = self.core.module(name, ())
        assert module
        later = self.core.folder / 'utils' / 'later.py'     # which the module imports if it is there
        path.write_bytes(zipped({
            'ansible/__init__.py': b'written', f'ansible/modules/{name}.py': Path(module).read_bytes(),
            'ansible/module_utils/basic.py': utils.read_bytes(),
            **({'ansible/module_utils/later.py': later.read_bytes()} if later.exists() else {})}))  # fmt: skip
        return True

    def play(self, name: str = 'ping') -> bool:
        self.cache.before_task([name])
        built = self.builds(name)
        self.cache.harvest()
        return built


def test_a_payload_is_built_once_for_all_runs(core: FakeCore, store: Store) -> None:
    assert [Run(core, store, name).play() for name in 'abc'] == [True, False, False]


@pytest.mark.parametrize('what', CHANGES)
def test_a_change_between_runs_is_built(core: FakeCore, store: Store, what: str) -> None:
    Run(core, store, 'a').play()
    CHANGES[what](core)
    assert Run(core, store, 'b').play()


def test_a_change_before_the_first_use_in_a_run_is_built(core: FakeCore, store: Store) -> None:
    Run(core, store, 'a').play()
    run = Run(core, store, 'b')
    run.cache.before_task(['ping'])     # whose task is skipped
    core.write('utils/basic.py', 'BASIC = 3\n')
    assert run.play()
    assert [Run(core, store, name).play() for name in 'cd'] == [False, False]


def test_a_payload_of_sources_that_changed_meanwhile_is_not_kept(core: FakeCore, store: Store) -> None:
    run = Run(core, store, 'a')
    run.cache.before_task(['ping'])
    run.builds()
    core.write('utils/basic.py', 'BASIC = 3\n')
    run.cache.harvest()
    (core.folder / 'utils' / 'basic.py').unlink()
    (core.folder / 'utils').rmdir()
    assert Run(core, store, 'b').play()


def test_a_payload_of_a_source_that_came_meanwhile_is_not_kept(core: FakeCore, store: Store) -> None:
    run = Run(core, store, 'a')
    run.cache.before_task(['ping'])
    path = core.write('utils/later.py', '')
    run.builds()
    run.cache.harvest()
    path.unlink()
    path.parent.rmdir()
    assert Run(core, store, 'b').play()


def test_a_payload_that_is_not_what_is_installed_is_not_kept(core: FakeCore, store: Store) -> None:
    run = Run(core, store, 'a')
    run.cache.before_task(['ping'])
    path = core.write('lib/ansible/module_utils/basic.py', 'BASIC = 7\n')
    run.builds()
    path.write_text('BASIC = 1\n')
    run.cache.harvest()
    assert Run(core, store, 'b').play()


def test_a_damaged_entry_is_built_again(core: FakeCore, store: Store) -> None:
    for damage in (lambda entry: entry[:-9], lambda entry: b'', lambda entry: entry[:-1] + b'?',
                   lambda entry: payload_entries.pack(payload_entries.unpack(entry)[0], b'\x80junk')):
        Run(core, store, f'a{id(damage)}').play()
        name = key(core)
        entry = store.get(name)
        assert entry
        store.put(name, damage(entry))
        assert Run(core, store, f'b{id(damage)}').play()
        assert not Run(core, store, f'c{id(damage)}').play()


def test_what_ansible_has_built_is_never_replaced(core: FakeCore, store: Store) -> None:
    Run(core, store, 'a').play()
    run = Run(core, store, 'b')
    run.folder.mkdir(parents=True)
    built = run.folder / 'ansible.modules.ping-ZIP_DEFLATED-none'
    built.write_bytes(b'its own')
    run.cache.before_task(['ping'])
    assert built.read_bytes() == b'its own'
    assert os.listdir(run.folder) == [built.name]


def test_the_modules_of_a_task() -> None:
    assert payload_cache.wanted('ping') == ['ping']
    assert payload_cache.wanted('my.own.copy') == ['my.own.copy']
    assert 'ansible.legacy.setup' in payload_cache.wanted('gather_facts')
    assert 'ansible.legacy.async_wrapper' in payload_cache.wanted('command', asynchronous=True)


# -- real runs ---------------------------------------------------------------------


MODULE = """
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.greeting import WORD
try:
    from ansible.module_utils.later import MORE
except ImportError:
    MORE = 'absent'
AnsibleModule({}).exit_json(said='%s %s' % (WORD, MORE))
"""
COLLECTED = """
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.my.own.plugins.module_utils.greeting import WORD
try:
    from ansible_collections.my.other.plugins.module_utils.later import MORE
except ImportError:
    MORE = 'absent'
AnsibleModule({}).exit_json(said='%s %s' % (WORD, MORE))
"""
PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - hello:
      register: one
    - my.own.hello:
      register: two
    - command: echo done
    - debug: msg="({{ one.said }}) ({{ two.said }})"
"""
WORDS = re.compile(r'"msg": "(\(.*\))"')


@pytest.fixture(scope='session')
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp()


@pytest.fixture(params=cores.RELEASES)
def project(request: pytest.FixtureRequest, base: Path, tmp_path: Path) -> cores.Project:
    return made(tmp_path, cores.core(request.param, base))


@pytest.fixture
def newest(base: Path, tmp_path: Path) -> cores.Project:
    return made(tmp_path, cores.core(cores.NEWEST, base))


def made(folder: Path, programs: Path) -> cores.Project:
    project = cores.Project(folder / 'project', programs)
    project.environment['ANSIBLE_CALLBACKS_ENABLED'] = 'econtext.core.warm_up'
    project.write('site.yml', PLAYBOOK)
    project.write('library/hello.py', MODULE)
    project.write('module_utils/greeting.py', 'WORD = "one"\n')
    own = 'collections/ansible_collections/my/own'
    project.write(f'{own}/plugins/modules/hello.py', COLLECTED)
    project.write(f'{own}/plugins/module_utils/greeting.py', 'WORD = "two"\n')
    return project


def entries(project: cores.Project) -> list[Path]:
    return sorted((project.home / '.cache' / 'econtext' / 'ansible').glob('?' * 64))


def run(project: cores.Project) -> tuple[str, int]:
    """Return what the modules said, and how many payloads were built."""
    return outcome(project.run(ANSIBLE_DEBUG='1'))


def outcome(text: str) -> tuple[str, int]:
    found = WORDS.search(text)
    assert found, text
    return found[1], text.count('ANSIBALLZ: Creating module')


@pytest.mark.deadline(300)
def test_a_run_builds_only_what_has_changed(project: cores.Project) -> None:
    assert run(project) == ('(one absent) (two absent)', 3)
    assert len(entries(project)) == 3
    assert run(project) == ('(one absent) (two absent)', 0)

    stamps = (project.folder / 'module_utils' / 'greeting.py').stat()
    path = project.write('module_utils/greeting.py', 'WORD = "six"\n')
    os.utime(path, (stamps.st_atime, stamps.st_mtime))  # of the same size and time
    project.write('collections/ansible_collections/my/other/plugins/module_utils/later.py', 'MORE = "too"\n')
    assert run(project) == ('(six absent) (two too)', 3)


@pytest.mark.deadline(300)
@pytest.mark.parametrize('project', cores.FORMATS, indirect=True)
def test_a_module_that_changes_is_built_alone(project: cores.Project) -> None:
    assert run(project) == ('(one absent) (two absent)', 3)
    project.write('library/hello.py', MODULE.replace('%s %s', '%s, %s'))
    assert run(project) == ('(one, absent) (two absent)', 1)
    project.write('module_utils/later.py', 'MORE = "there"\n')
    assert run(project) == ('(one, there) (two absent)', 3)


@pytest.mark.deadline(300)
@pytest.mark.parametrize('project', cores.FORMATS, indirect=True)
def test_damaged_entries_are_built_again(project: cores.Project) -> None:
    said, _ = run(project)
    first, second, third = entries(project)
    first.write_bytes(first.read_bytes()[:1000])
    second.write_bytes(second.read_bytes()[:-1] + b'?')
    third.write_bytes(b'')
    assert run(project) == (said, 3)
    for entry in entries(project):
        payload_entries.unpack(entry.read_bytes())


@pytest.mark.deadline(300)
def test_two_runs_at_once(newest: cores.Project) -> None:
    both = [newest.begin(ANSIBLE_DEBUG='1') for _ in range(2)]
    assert [outcome(cores.said(each)) for each in both] == [('(one absent) (two absent)', 3)] * 2
    assert run(newest) == ('(one absent) (two absent)', 0)
    assert len(os.listdir(newest.home / '.cache' / 'econtext' / 'ansible')) == 3


@pytest.mark.deadline(300)
def test_a_run_goes_on_where_no_folder_can_be_had(newest: cores.Project) -> None:
    wide = newest.folder / 'wide'
    wide.mkdir()
    wide.chmod(0o777)
    for folder in ('/proc/econtext', str(wide)):
        text = newest.run('-vvv', ECONTEXT_ANSIBLE_PAYLOAD_CACHE_FOLDER=folder)
        assert 'econtext.core.warm_up: no payload is kept' in text
        assert WORDS.search(text)
    assert os.listdir(wide) == []


