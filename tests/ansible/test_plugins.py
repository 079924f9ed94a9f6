"""The collection `econtext.core` under real releases of Ansible, against a real ssh server."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import RELEASES, Ansible, Run, comparable, environment

from lab import eventually, leaks, open_to_all, require
from lab.accounts import Accounts
from lab.sshd import Sshd

OURS = 'econtext.core.ssh'
pytestmark = pytest.mark.deadline(600)

PLAY = """
- {name: ping, ping: {}}
- {name: facts, setup: {gather_subset: '!all'}}
- {name: both outputs, command: "sh -c 'echo out; echo err >&2'"}
- {name: shell, shell: "id -un; pwd; umask; cat"}
- {name: bytes, shell: "printf 'a\\\\377b'", ignore_errors: true}
- {name: another user, command: id -un, become: true}
- {name: unprivileged, command: id -un, become: true, become_user: ect_target}
- {name: copy, copy: {content: "hello {{ inventory_hostname }}\\n", dest: "{{ place }}/file", mode: '0640'}}
- {name: copy again, copy: {content: "hello {{ inventory_hostname }}\\n", dest: "{{ place }}/file", mode: '0640'}}
- {name: copy by root, copy: {content: "of root\\n", dest: "{{ place }}/root"}, become: true}
- {name: large, copy: {src: "{{ large }}", dest: "{{ place }}/large"}}
- {name: template, template: {src: "{{ template }}", dest: "{{ place }}/template"}}
- {name: line, lineinfile: {path: "{{ place }}/file", line: added}}
- {name: stat, stat: {path: "{{ place }}/file"}}
- {name: slurp, slurp: {src: "{{ place }}/file"}}
- {name: fetch, fetch: {src: "{{ place }}/large", dest: "{{ fetched }}", flat: true}}
- {name: fetch of the kernel, fetch: {src: /proc/version, dest: "{{ fetched }}-version", flat: true}}
- {name: fetch of nothing, fetch: {src: "{{ place }}/none", dest: "{{ fetched }}"}, ignore_errors: true}
- {name: loop, command: "echo {{ item }}", loop: [a, "b c", d]}
- {name: script, script: "{{ script }} one 'two three'"}
- {name: script by root, script: "{{ script }} one two", become: true}
- {name: raw, raw: "echo raw; exit 3", ignore_errors: true}
- {name: no program, command: /no/such/program, ignore_errors: true}
- {name: status, shell: "echo x; exit 7", ignore_errors: true}
- {name: killed, shell: "kill -9 $$", ignore_errors: true}
- {name: async, command: "sh -c 'sleep 0.2; echo later'", async: 60, poll: 1}
- {name: environment, shell: "echo $GREETING", environment: {GREETING: "it's \\"me\\""}}
- {name: locale, shell: "echo $LC_ALL", environment: {LC_ALL: C}}
- {name: delegated, command: id -un, delegate_to: root}
- {name: chdir, command: pwd, args: {chdir: /usr}}
- {name: packages, package_facts: {manager: auto}, become: true, no_log: true}
- {name: reset, meta: reset_connection}
- {name: afterwards, command: id -un}
- {name: time, command: sleep 60, timeout: 5, ignore_errors: true}
- {name: wrong arguments, stat: {no_such: argument}, ignore_errors: true}
- {name: removed, file: {path: "{{ place }}/file", state: absent}}
"""


@pytest.fixture(scope='module', params=list(RELEASES))
def ansible(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sshd: Sshd, accounts: Accounts,
) -> Ansible:
    require('sudo')
    return Ansible(environment(request.param), tmp_path_factory.mktemp('ansible'), sshd, accounts)


@pytest.fixture
def place(tmp_path: Path, accounts: Accounts) -> Callable[[], Path]:
    """Makes folders that belong to the account `nopw`."""

    def make() -> Path:
        folder = tmp_path / f'place{len(list(tmp_path.iterdir()))}'
        folder.mkdir(0o755)
        open_to_all(folder)
        os.chown(folder, accounts['nopw'].uid, -1)
        return folder

    return make


def test_a_play_has_the_results_of_the_stock_plugin(
    ansible: Ansible, place: Callable[[], Path], tmp_path: Path,
) -> None:
    large, template, script = tmp_path / 'large', tmp_path / 'template', tmp_path / 'script'
    large.write_bytes(os.urandom(3_000_000))
    template.write_text('{{ inventory_hostname }} {{ 6 * 7 }}\n')
    script.write_text('#!/bin/sh\necho "$1,$2"\necho "err" >&2\nid -un\necho ${LC_CTYPE-none}\nexit 0\n')
    seen = {}
    for connection in OURS, 'ssh':
        folder = place()
        fetched = tmp_path / f'fetched-{len(seen)}'
        done = ansible.run(
            PLAY, connection, place=str(folder), large=str(large), template=str(template), script=str(script),
            fetched=str(fetched), ansible_pipelining=True, ansible_ssh_use_tty=False)
        assert done.returncode == 0, done.output
        assert fetched.read_bytes() == large.read_bytes()
        assert Path(f'{fetched}-version').read_bytes() == Path('/proc/version').read_bytes()
        assert (folder / 'large').read_bytes() == large.read_bytes()
        seen[connection] = [
            (each['task'], each['kind'], comparable(each['result'], folder)) for each in done.results]
        for _, _, result in seen[connection]:
            result.pop('dest', None)
            if 'ansible_facts' in result:
                result['ansible_facts'] = sorted(result['ansible_facts'])
    assert len(seen[OURS]) == len(PLAY.strip().splitlines()) - 1
    differ = [pair for pair in zip(seen[OURS], seen['ssh'], strict=True) if pair[0] != pair[1]]
    assert not differ, '\n'.join(f'{ours}\n{stock}\n' for ours, stock in differ)


COPIES = """
- {name: first, copy: {content: "one\\n", dest: "{{ place }}/first", mode: '0640'}}
- {name: second, copy: {content: "two\\n", dest: "{{ place }}/second"}}
- {name: loop, copy: {content: "{{ item }}\\n", dest: "{{ place }}/{{ item }}"}, loop: [a, b, c]}
- {name: by root, copy: {content: "of root\\n", dest: "{{ place }}/root"}, become: true}
- {name: left, find: {paths: "{{ ansible_remote_tmp }}", file_type: any}}
- {name: as root, find: {paths: "{{ ansible_remote_tmp }}", file_type: any}, become: true}
- {name: gone, file: {path: "{{ ansible_remote_tmp }}", state: absent}}
- {name: anew, copy: {content: "three\\n", dest: "{{ place }}/third"}}
- {name: removed, file: {path: "{{ ansible_remote_tmp }}", state: absent}}
- {name: in the way, file: {path: "{{ ansible_remote_tmp }}", state: touch}}
- {name: refused, copy: {content: "four\\n", dest: "{{ place }}/fourth"}, ignore_unreachable: true}
- {name: afterwards, ping: {}}
"""


def test_copies_wait_for_few_commands(ansible: Ansible, place: Callable[[], Path], tmp_path: Path) -> None:
    """What Ansible does in temporary folders goes with its modules, and comes out as by its own plugin."""
    shell, log = tmp_path / 'sh', tmp_path / 'log'
    shell.write_text(f'#!/bin/sh\necho "$2" >> {log}\nexec /bin/sh "$@"\n')
    shell.chmod(0o755)
    open_to_all(tmp_path)
    seen, started = {}, {}
    for connection in OURS, 'ssh':
        folder = place()
        log.unlink(missing_ok=True)
        log.touch()
        log.chmod(0o666)
        done = ansible.run(
            COPIES, connection, place=str(folder), ansible_pipelining=True, ansible_remote_tmp=str(folder / 'tmp'),
            ansible_shell_executable=str(shell))
        assert done.of('refused')['kind'] == 'unreachable', done.output
        assert done.of('afterwards')['kind'] == 'ok', done.output
        assert done.of('left')['matched'] == done.of('as root')['matched'] == 0
        seen[connection] = {
            each.name: (stat.S_IMODE(each.stat().st_mode), each.owner(), each.read_bytes())
            for each in folder.iterdir()}
        started[connection] = log.read_text()
    assert seen[OURS] == seen['ssh']
    assert set(seen[OURS]) == {'tmp', 'first', 'second', 'third', 'a', 'b', 'c', 'root'}
    # Once each, where the first folder is made, after the folder has gone, and where none can be made.
    assert [line.count('mkdir -p') for line in started[OURS].splitlines() if 'mkdir' in line] == [1, 1, 1]
    assert started['ssh'].count('mkdir -p') == 8
    for word in 'chmod', 'rm -f -r', 'cat':
        assert word not in started[OURS]


def test_one_login_and_one_sudo_serve_a_run(ansible: Ansible) -> None:
    done = ansible.run("""
- {name: one, shell: "ps -o ppid= -p $PPID"}
- {name: two, shell: "ps -o ppid= -p $PPID"}
- {name: root one, shell: "ps -o ppid= -p $PPID", become: true}
- {name: root two, shell: "ps -o ppid= -p $PPID", become: true}
- {name: reset, meta: reset_connection}
- {name: three, shell: "ps -o ppid= -p $PPID"}
""", OURS)
    assert done.returncode == 0, done.output
    one, two, three = (int(done.of(name)['stdout']) for name in ('one', 'two', 'three'))
    root, again = (int(done.of(name)['stdout']) for name in ('root one', 'root two'))
    assert one == two
    assert root == again
    assert len({one, root, three}) == 3


def test_modules_run_in_forks_of_the_context(ansible: Ansible) -> None:
    done = ansible.run("""
- {name: fork, shell: "ps -o args= -p $PPID"}
- {name: of root, shell: "ps -o args= -p $PPID", become: true}
- {name: own process, shell: "ps -o args= -p $PPID", environment: {PYTHONOPTIMIZE: '1'}}
- {name: file, shell: "ps -o args= -p $PPID", vars: {ansible_pipelining: false}}
""", OURS)
    assert done.returncode == 0, done.output
    for name in 'fork', 'of root':
        assert done.of(name)['stdout'].startswith('econtext:'), done.of(name)
    for name in 'own process', 'file':
        assert done.of(name)['stdout'].startswith('/usr/bin/python3'), done.of(name)


def test_a_module_hears_of_a_missing_library_what_any_program_hears(
    ansible: Ansible, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / 'wants.py').write_text(
        'from ansible.module_utils.basic import AnsibleModule\n'
        'try:\n    import no_such_library\nexcept ImportError as error:\n    said = str(error)\n'
        'AnsibleModule({}).exit_json(said=said)\n')
    environ = ansible.environ
    monkeypatch.setattr(ansible, 'environ', lambda home: {**environ(home), 'ANSIBLE_LIBRARY': str(tmp_path)})
    done = ansible.run('- {name: wants, wants: {}}', OURS)
    assert done.of('wants')['said'] == "No module named 'no_such_library'", done.output


@pytest.fixture
def library(ansible: Ansible, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for modules of a test's own."""
    folder = tmp_path / 'library'
    folder.mkdir()
    monkeypatch.setitem(ansible.more, 'ANSIBLE_LIBRARY', str(folder))
    return folder


def test_a_module_finds_what_an_earlier_task_has_installed(ansible: Ansible, tmp_path: Path, library: Path) -> None:
    """Into a folder that was not there when the process on the host started, and by a file of paths."""
    own, more = tmp_path / 'own', tmp_path / 'more'
    subprocess.run(['/usr/bin/python3', '-m', 'venv', '--without-pip', '--symlinks', own], check=True, timeout=100)
    (packages,) = own.glob('lib/python*/site-packages')
    packages.rmdir()
    packages.parent.chmod(0o777)
    more.mkdir(0o777)
    more.chmod(0o777)
    open_to_all(packages.parent)
    (library / 'wants.py').write_text(
        'from ansible.module_utils.basic import AnsibleModule\n'
        "module = AnsibleModule({'name': {}})\n"
        "module.exit_json(said=__import__(module.params['name']).said)\n")
    done = ansible.run(f"""
- {{name: not yet, wants: {{name: first}}, ignore_errors: true}}
- {{name: installs, shell: "mkdir {packages} && echo 'said = 1' > {packages}/first.py"}}
- {{name: new folder, wants: {{name: first}}}}
- {{name: points, shell: "echo 'said = 2' > {more}/second.py && echo {more} > {packages}/more.pth"}}
- {{name: file of paths, wants: {{name: second}}}}
""", OURS, ansible_python_interpreter=str(own / 'bin' / 'python'))
    assert done.returncode == 0, done.output
    assert done.of('not yet')['kind'] == 'failed'
    assert (done.of('new folder')['said'], done.of('file of paths')['said']) == (1, 2)


def test_a_module_that_a_signal_ends_is_told_as_by_a_shell(ansible: Ansible, library: Path) -> None:
    (library / 'ends.py').write_text(
        'import os\nfrom ansible.module_utils.basic import AnsibleModule\n'
        "module = AnsibleModule({'by': {'type': 'int'}})\n"
        "os.kill(os.getpid(), module.params['by'])\n"
        'module.exit_json()\n')
    tasks = '\n'.join(f'- {{name: "{number}", ends: {{by: {number}}}, ignore_errors: true}}' for number in (9, 15, 2))
    done = ansible.run(tasks, OURS)
    said = {number: (done.of(number)['rc'], done.of(number)['module_stderr'].strip().rpartition('\n')[2])
            for number in ('9', '15', '2')}
    assert said == {'9': (137, 'Killed'), '15': (143, 'Terminated'), '2': (130, 'KeyboardInterrupt')}


def test_a_module_reports_its_errors_by_a_hook(ansible: Ansible, library: Path) -> None:
    """Python calls `sys.excepthook`, which may end the program: so Ansible's module `file` reports, up to 2.18."""
    (library / 'hooked.py').write_text(
        'import sys\nfrom ansible.module_utils.basic import AnsibleModule\n'
        "module = AnsibleModule({'hook': {}})\n"
        'def reports(kind, error, trace):\n'
        "    module.fail_json(msg='reported: %s' % error, handled=str(sys.exc_info()[1]))\n"
        'def fails(kind, error, trace):\n'
        "    raise KeyError('of the hook')\n"
        "sys.excepthook = globals()[module.params['hook']]\n"
        "raise ValueError('of the module')\n")
    tasks = '- {name: file, file: {path: /no/such/folder/file}, ignore_errors: true}\n' + '\n'.join(
        f'- {{name: {hook}, hooked: {{hook: {hook}}}, ignore_errors: true}}' for hook in ('reports', 'fails'))
    stock, done = ansible.run(tasks, 'ssh'), ansible.run(tasks, OURS)
    assert done.returncode == 0, done.output
    for name in 'file', 'reports':
        assert comparable(done.of(name), library) == comparable(stock.of(name), library)
    assert told(done.of('fails')) == told(stock.of('fails'))


def told(result: dict[str, object]) -> object:
    """Return the status, the message, and the titles and last lines of tracebacks."""
    # Both are one with the terminal of the stock plugin.
    lines = ''.join(str(result.get(name, '')) for name in ('module_stdout', 'module_stderr')).splitlines()
    return result.get('rc'), result['msg'], [line for line in lines if not line.startswith((' ', 'Shared connection'))]


def test_an_async_task_outlives_its_run(ansible: Ansible, tmp_path: Path) -> None:
    mark = tmp_path / 'mark'
    open_to_all(tmp_path)
    done = ansible.run(
        f"- {{name: begun, shell: 'sleep 3; echo $$ > {mark}', async: 100, poll: 0, become: true}}", OURS)
    assert done.returncode == 0, done.output
    assert not mark.exists(), 'the run has waited'
    eventually(mark.exists)


def test_passwords(ansible: Ansible, sshd: Sshd, tmp_path: Path) -> None:
    keyless = tmp_path / 'keyless'
    keyless.write_text(re.sub('.*Identit.*\n', '', sshd.config.read_text()))
    task = "- {name: who, command: id -un, become: '{{ other | default(false) }}'}"
    common = f'-F {keyless}'
    done = ansible.run(task, OURS, 'nopw', ansible_password='pw-ect_nopw', ansible_ssh_common_args=common)
    assert done.of('who')['stdout'] == 'ect_nopw'
    done = ansible.run(task, OURS, 'nopw', ansible_password='wrong', ansible_ssh_common_args=common)
    assert done.of('who')['kind'] == 'unreachable'
    assert 'Permission denied' in done.of('who')['msg']
    done = ansible.run(task, OURS, 'sudo', other=True, ansible_become_password='pw-ect_sudo')
    assert done.of('who')['stdout'] == 'root'
    done = ansible.run(task, OURS, 'sudo', other=True, ansible_become_password='wrong')
    assert 'Incorrect sudo password' in done.of('who')['msg']
    done = ansible.run(task, OURS, 'sudo', other=True)
    assert done.of('who')['kind'] == 'failed'
    assert 'password' in str(done.of('who'))
    su = {'other': True, 'ansible_become_method': 'su', 'ansible_become_user': 'ect_target',
          'ansible_shell_allow_world_readable_temp': True}  # fmt: skip
    done = ansible.run(task, OURS, 'plain', ansible_become_password='pw-ect_target', **su)
    assert done.of('who')['stdout'] == 'ect_target', done.output
    done = ansible.run(task, OURS, 'plain', ansible_become_password='wrong', **su)
    assert 'Incorrect su password' in done.of('who')['msg']


def test_passwords_are_typed_as_the_options_say(ansible: Ansible, sshd: Sshd, tmp_path: Path) -> None:
    keyless = tmp_path / 'keyless'
    keyless.write_text(re.sub('.*Identit.*\n', '', sshd.config.read_text()))
    variables = {'ansible_password': 'pw-ect_nopw', 'ansible_ssh_common_args': f'-F {keyless}'}
    task = '- {name: who, command: id -un}'
    # Another question than ssh asks: the stock plugin answers none either.
    done = ansible.run(task, OURS, ansible_sshpass_prompt='no such question', **variables)
    assert done.of('who')['kind'] in ('unreachable', 'failed'), done.output
    if ansible.programs.parent.name != '2.18':
        done = ansible.run(task, OURS, ansible_ssh_password_mechanism='disable', **variables)
        assert done.of('who')['kind'] == 'unreachable', done.output


def test_another_user_has_to_be_there_within_the_timeout(ansible: Ansible, tmp_path: Path) -> None:
    slow = tmp_path / 'slow'
    slow.write_text('#!/bin/sh\nsleep 6\nexec sudo "$@"\n')
    slow.chmod(0o755)
    open_to_all(tmp_path)
    task = '- {name: who, command: id -un, become: true}'
    variables = {'ansible_become_exe': str(slow), 'ansible_pipelining': True}
    ours, stock = [
        ansible.run(task, connection, ansible_ssh_timeout=1, **variables).of('who') for connection in (OURS, 'ssh')]
    assert 'Timeout (3s) waiting for privilege escalation prompt' in ours['msg']
    assert (ours['kind'], ours['msg']) == (stock['kind'], stock['msg'])
    assert ansible.run(task, OURS, **variables).of('who')['stdout'] == 'root'


def test_hosts_that_cannot_be_entered(ansible: Ansible, sshd: Sshd) -> None:
    for variables in {'ansible_port': 1}, {'ansible_user': 'no_such_user'}, {'ansible_host': 'host.invalid'}:
        done = ansible.run('- {name: who, command: id -un}', OURS, **variables)
        assert done.of('who')['kind'] == 'unreachable', done.output
        assert 'Failed to connect to the host via ssh: ' in done.of('who')['msg']


def test_without_python_the_stock_plugin_does_it(
    ansible: Ansible, accounts: Accounts, tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A path without Python, and an interpreter that is not there."""
    folder = tmp_path_factory.mktemp('bare')
    programs = folder / 'bin'
    programs.mkdir()
    for name in 'sh', 'echo', 'id', 'cat', 'chmod', 'rm', 'mkdir', 'dd':
        (programs / name).symlink_to(f'/usr/bin/{name}')
    open_to_all(programs)
    with Sshd(folder / 'sshd', options=[f'SetEnv PATH={programs}']) as bare:
        tasks = """
- {name: raw, raw: "echo raw; command -v python3 || echo none"}
- {name: module, command: id -un, ignore_errors: true}
"""
        variables = {'ansible_ssh_common_args': f'-F {bare.config}', 'ansible_ssh_use_tty': False,
                     'ansible_pipelining': True}  # fmt: skip
        ours = ansible.run(tasks, OURS, ansible_python_interpreter='/no/python', **variables)
        stock = ansible.run(tasks, 'ssh', ansible_python_interpreter='/no/python', **variables)
        assert 'none' in ours.of('raw')['stdout'], ours.output
        for name in 'raw', 'module':
            assert ours.of(name).get('msg') == stock.of(name).get('msg')
            assert ours.of(name).get('rc') == stock.of(name).get('rc')
        # The interpreter that the play names is found where no search would.
        done = ansible.run('- {name: who, command: id -un}', OURS, **variables)
        assert done.of('who')['stdout'] == 'ect_nopw', done.output


def test_an_interpreter_other_than_the_first_has_its_own_context(ansible: Ansible, tmp_path: Path) -> None:
    own = tmp_path / 'own'
    subprocess.run(['/usr/bin/python3', '-m', 'venv', '--without-pip', '--symlinks', own], check=True, timeout=100)
    open_to_all(own / 'bin')
    done = ansible.run("""
- {name: first, setup: {gather_subset: ['!all', python]}}
- {name: second, setup: {gather_subset: ['!all', python]}, vars: {ansible_python_interpreter: '%s'}}
""" % (own / 'bin' / 'python'), OURS)
    assert done.returncode == 0, done.output
    found = [done.of(name)['ansible_facts']['ansible_python']['executable'] for name in ('first', 'second')]
    assert found == ['/usr/bin/python3', str(own / 'bin' / 'python')]


def test_an_interpreter_that_is_replaced_is_started(ansible: Ansible, tmp_path: Path) -> None:
    """As where a task upgrades Python, or makes a virtual environment anew."""
    path = tmp_path / 'python'
    tmp_path.chmod(0o777)
    open_to_all(tmp_path)
    write = f"printf '#!/bin/sh\\nWHICH=%s exec /usr/bin/python3 \"$@\"\\n' {{{{ item }}}} > {path} && chmod 755 {path}"
    variables = f'vars: {{ansible_python_interpreter: {path}}}'
    done = ansible.run(f"""
- {{name: makes, shell: {json.dumps(write)}, loop: [one]}}
- {{name: first, shell: echo $WHICH, {variables}}}
- {{name: replaces, shell: {json.dumps(write)}, loop: [other]}}
- {{name: second, shell: echo $WHICH, {variables}}}
- {{name: removes, file: {{path: {path}, state: absent}}}}
- {{name: third, shell: echo $WHICH, ignore_errors: true, {variables}}}
""", OURS)
    assert (done.of('first')['stdout'], done.of('second')['stdout']) == ('one', 'other'), done.output
    assert done.of('third')['rc'] == 127
    assert f"'{path}' was not found" in done.of('third')['msg'] or 'not found' in done.of('third')['module_stderr']


def test_this_machine(ansible: Ansible, monkeypatch: pytest.MonkeyPatch) -> None:
    # Which steers this Python, and no module.
    monkeypatch.setitem(ansible.more, 'PYTHONUNBUFFERED', '1')
    done = ansible.run("""
- {name: one, shell: "ps -o ppid= -p $PPID; pwd"}
- {name: two, shell: "ps -o ppid= -p $PPID; pwd"}
- {name: other, command: id -un, become: true, become_user: ect_target}
- {name: fork, shell: "ps -o args= -p $PPID"}
""", 'econtext.core.local')
    assert done.returncode == 0, done.output
    assert done.of('one')['stdout'] == done.of('two')['stdout']
    assert done.of('other')['stdout'] == 'ect_target'
    assert done.of('fork')['stdout'].startswith('econtext:'), done.of('fork')


def test_each_task_of_this_machine_finds_the_temporary_folder_that_it_has_asked_for(
    ansible: Ansible, tmp_path: Path,
) -> None:
    done = ansible.run(f"""
- {{name: first, command: echo first, async: 60, poll: 1}}
- {{name: second, command: echo second, async: 60, poll: 1}}
- {{name: copy, copy: {{content: one, dest: "{tmp_path}/one"}}}}
- {{name: copy again, copy: {{content: two, dest: "{tmp_path}/two"}}}}
- {{name: fetch, fetch: {{src: "{tmp_path}/two", dest: "{tmp_path}/fetched", flat: true}}}}
""", 'econtext.core.local')
    assert done.returncode == 0, done.output
    assert done.of('second')['stdout'] == 'second'
    assert (tmp_path / 'fetched').read_text() == 'two'


# -- nothing stays -----------------------------------------------------------


def waiting(ansible: Ansible, mark: Path) -> Run:
    """Return a run that waits in a command of root's on the host, which has begun."""
    open_to_all(mark.parent)
    mark.parent.chmod(0o777)
    run = ansible.start(f"""
- {{name: waits, shell: "echo $$ > {mark}.new; mv {mark}.new {mark}; exec sleep 1000", become: true}}
- {{name: then, command: id -un}}
""", OURS)
    eventually(lambda: mark.exists() or run.process.poll() is not None)
    assert run.process.poll() is None, run.finish().output
    return run


def daemons(run: Run) -> list[int]:
    lines = {each.pid: leaks.command_line(each.pid) for each in leaks.table()}
    return [pid for pid, line in lines.items() if 'econtext.ansible.daemon' in line and str(run.home) in line]


def test_nothing_stays_of_a_run_that_was_killed(ansible: Ansible, tmp_path: Path) -> None:
    run = waiting(ansible, tmp_path / 'mark')
    command = int((tmp_path / 'mark').read_text())
    (daemon,) = daemons(run)
    run.process.kill()
    run.process.communicate()
    eventually(lambda: not leaks.alive(daemon) and not leaks.alive(command))
    assert not [path for path in run.home.rglob('econtext*') if 'econtext' not in path.parent.name]


def worker_at(run: Run, mark: Path) -> int:
    """Wait until the one worker of a run has come to where the file `mark` is made; return its number."""
    eventually(lambda: mark.exists() or run.process.poll() is not None)
    assert run.process.poll() is None, run.finish().output
    (worker,) = [each.pid for each in leaks.descendants(run.process.pid)
                 if 'ansible-playbook' in leaks.command_line(each.pid)]
    return worker


def test_a_worker_whose_result_nobody_takes_ends_with_the_run(ansible: Ansible, tmp_path: Path) -> None:
    mark, go = tmp_path / 'mark', tmp_path / 'go'
    open_to_all(tmp_path)
    tmp_path.chmod(0o777)
    run = ansible.start(f"""
- shell: "touch {mark}; until [ -e {go} ]; do sleep 0.05; done; printf %01000000d 0"
""", OURS)
    worker = worker_at(run, mark)
    run.process.send_signal(signal.SIGSTOP)
    go.touch()
    eventually(lambda: 'pipe_write' in Path(f'/proc/{worker}/wchan').read_text())
    run.process.kill()
    run.process.wait()
    eventually(lambda: not leaks.alive(worker))
    run.process.communicate()


def test_a_worker_that_comes_after_the_run_was_killed_starts_nothing(ansible: Ansible, tmp_path: Path) -> None:
    mark, go = tmp_path / 'mark', tmp_path / 'go'
    run = ansible.start(f"""
- command: "echo {{{{ lookup('pipe', 'touch {mark}; until [ -e {go} ]; do sleep 0.05; done') }}}}"
""", OURS)
    worker = worker_at(run, mark)
    assert not daemons(run)
    run.process.kill()
    run.process.wait()
    go.touch()
    run.process.communicate()
    eventually(lambda: not leaks.alive(worker))
    eventually(lambda: not daemons(run))


def test_a_run_goes_on_behind_a_daemon_that_was_killed(ansible: Ansible, tmp_path: Path) -> None:
    run = waiting(ansible, tmp_path / 'mark')
    command = int((tmp_path / 'mark').read_text())
    (daemon,) = daemons(run)
    os.kill(daemon, signal.SIGKILL)
    done = run.finish()
    assert done.of('waits')['kind'] == 'unreachable'
    assert 'daemon' in done.of('waits')['msg']
    eventually(lambda: not leaks.alive(command))
    assert not list(run.home.rglob('econtext'))


def test_a_worker_that_is_killed_takes_its_command_along(ansible: Ansible, tmp_path: Path) -> None:
    run = waiting(ansible, tmp_path / 'mark')
    command = int((tmp_path / 'mark').read_text())
    workers = [each.pid for each in leaks.descendants(run.process.pid)
               if 'ansible-playbook' in leaks.command_line(each.pid)]
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    eventually(lambda: not leaks.alive(command))
    run.process.kill()
    run.process.communicate()


def test_two_runs_side_by_side(ansible: Ansible) -> None:
    tasks = """
- {name: one, command: id -un, loop: [1, 2, 3]}
- {name: two, command: id -un, become: true, loop: [1, 2, 3]}
"""
    both = [ansible.start(tasks, OURS) for _ in range(2)]
    for run in both:
        done = run.finish()
        assert done.returncode == 0, done.output
        assert not daemons(run) or eventually(lambda run=run: not daemons(run))


# -- the plugins as Ansible sees them -----------------------------------------


def test_documentation_is_whole(ansible: Ansible, tmp_path: Path) -> None:
    """ansible-doc shows each option of the stock plugin, and no name of ours hides one of the stock plugin's."""
    program = tmp_path / 'program.py'
    program.write_text('''
import importlib, json, subprocess, sys
from ansible.plugins.connection import ConnectionBase
from ansible_collections.econtext.core.plugins.plugin_utils.persistent import Plugin
from econtext.ansible.connection import Persistent
answers = {}
for name in 'ssh', 'local':
    stock = importlib.import_module('ansible.plugins.connection.' + name)
    ours = importlib.import_module('ansible_collections.econtext.core.plugins.connection.' + name)
    docs = [subprocess.run([sys.argv[1], '--json', '-t', 'connection', each], capture_output=True, text=True)
            for each in (name, 'econtext.core.' + name)]
    options = [set(list(json.loads(doc.stdout).values())[0]['doc']['options']) for doc in docs]
    meant = {'exec_command', 'put_file', 'fetch_file', 'reset', 'close', 'set_options', '__init__',
             '_sshpass_available', '_abc_impl', '_is_protocol'}
    mine = {key for each in (Persistent, Plugin, ours.Connection) for key in vars(each) if not key.startswith('__')}
    instance = set(stock.Connection.__init__.__code__.co_names) | set(ConnectionBase.__init__.__code__.co_names)
    hidden = (mine - meant) & (set(dir(stock.Connection)) | instance)
    answers[name] = [sorted(options[0] - options[1]), sorted(hidden), [doc.stderr for doc in docs]]
print(json.dumps(answers))
''')
    done = subprocess.run(
        [ansible.programs / 'python', program, ansible.programs / 'ansible-doc'], capture_output=True, text=True,
        timeout=200, env=ansible.environ(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == '{"ssh": [[], [], ["", ""]], "local": [[], [], ["", ""]]}'
