"""Runs ansible-core's own integration targets over a connection, and prints a table of what passed.

    python scripts/ansible_targets.py --folder FOLDER [--core VERSION …] [--over CONNECTION …] [TARGET …]
    python scripts/ansible_targets.py --folder FOLDER --only-table --page PAGE

FOLDER keeps what was installed and each result, so that a run that was ended goes on; `--again` runs all anew.  What
PAGE says of other runs stays.  Two commands may use one FOLDER at once, each with cores of its own.
CONNECTION is `ssh`, `mitogen` or `econtext.core.ssh`; each combination of core, connection and target is run by
itself.  The targets come with ansible-core's source distribution.  Each run has file systems, processes and a network
of its own, with an ssh server on their loopback, and nothing of that outlives the run.  Needs root, Linux, unshare,
ip, sshd and overlay file systems.

Exit status: 0 if each target passed over each connection over which `ssh` passed, else 1.
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CORES = ['2.21.5', '2.20.10', '2.19.14', '2.18.19']
STOCK, MITOGEN, OURS = 'ssh', 'mitogen', 'econtext.core.ssh'
MITOGEN_RELEASE = '0.3.54'
LIMIT = 1200  # seconds for one target, unless told
FILES = 1024  # that a target may have open, on both ends, as ansible-test has it
LOGINS, DAEMONS = Path('/run/sshd/log'), Path('/run/daemons')  # inside of the namespaces
# Where a target names Ansible's own plugins: in variables, plays and commands.
NAMED = re.compile(
    rb'(\bansible_connection["\']? *[:=] *["\']?|^[- ]*connection: *| -c )(ssh|local)(?![\w./-])', re.MULTILINE)
# A line of a `.pth` file, by which each daemon of econtext leaves a mark.
COUNTER = "import sys; sys.orig_argv[1:3] == ['-m', 'econtext.ansible.daemon'] and open({!r}, 'a').write('1')\n"
# Those that need no network, no package and no service of the machine.
TARGETS = """
    ping raw command_shell slurp copy template file stat lineinfile blockinfile replace fetch script async
    async_fail binary_modules_posix old_style_modules_posix want_json_modules_posix unarchive find assemble tempfile
    become become_sudo become_su become_unprivileged environment gathering_facts getent group user args json_cleanup
    module_utils module_utils_common.respawn interpreter_discovery_python remote_tmp wait_for wait_for_connection
    loop-connection connection_delegation unicode unsafe_writes embedded_module facts_d python_module_rlimit_nofile
    module_tracebacks missing-interpreter noexec task-timeout module-serialization-profiles known_hosts
    connection_remote_is_local delegate_to service_facts check_mode module_precedence connection run_modules
    async_extra_data binary_modules connection_ssh debugger error_from_connection fork_safe_stdio gathering
    ignore_unreachable interpreter_discovery_python_delegate_facts meta_tasks no_log pause register shell-plugins
    signal_propagation strategy_free strategy_host_pinned task-esoterica connection_local module_no_log cron expect
    throttle keyword_inheritance omit ssh_agent strategy_linear binary any_errors_fatal special_vars_hosts
    var_templating loop-until ansiballz_python package_facts mount_facts callback_default hostname shell split
    add_host until register_projections adhoc ansible-console ansible blocks collections_relative_imports controller
    facts_linux_network filter_encryption filter_mathstuff gather_facts-errors group_by handlers hardware_facts
    include_import include_vars includes includes_race inventory_generator inventory_toml inventory_yaml
    lookup_config lookup_env lookup_first_found lookup_ini lookup_inventory_hostnames lookup_password lookup_unvault
    module_utils_ansible_release module_utils_distro module_utils_facts.system.selinux tags tasks test_core argspec
    builtin_vars_prompt collection_loader collections_plugin_namespace connection_persistent dataloader filter_core
    filter_urls filter_urlsplit handler_race import-role-tasks import_tasks include_when_parent_is_dynamic
    include_when_parent_is_static inventory-invalid-group inventory_advanced_host_list inventory_constructed
    inventory_ini inventory_script lookup_csvfile lookup_dict lookup_file lookup_fileglob lookup_indexed_items
    lookup_items lookup_lines lookup_list lookup_nested lookup_pipe lookup_random_choice lookup_sequence
    lookup_subelements lookup_template lookup_together lookup_varnames lookup_vars missing_required_lib
    module_utils_urls test_files test_mathstuff test_uri ansible-inventory ansible-playbook-callbacks cli
    data_tagging_controller json-serialization order path_lookups path_with_comma_in_inventory rel_plugin_loading
    result_pickle_error roles_var_inheritance templating-syntax-errors templating_lookup_args unvault vars_files
    ansiballz_debug ansiballz_debugging assert break_when changed_when common_network debug dict_transformations
    display-newline failed_when include_import_tasks_nested include_vars-ad-hoc include_with_templating
    jinja_plugins lookup-option-name loop-validation loop_control parsing play_iterator set_stats strategy-external
    template_jinja2_non_native templating_settings var_precedence loops pkg_resources play_arg_spec
    plugin_config_for_inventory plugin_namespace preflight_encoding protomatter special_vars task-args task_ordering
    templating templating_lookups undefined unexpected_executor_exception var_inheritance var_reserved warning-context
    yaml_parsing callback-dispatch conditionals hash ignore_errors inventory_cache pyyaml roles_arg_spec var_blending
    ansible_log callback_results jinja2_native_types hosts_field infra module_defaults plugin_loader
    old_style_vars_plugins cache-plugins set_fact collections_runtime_pythonpath config limit_inventory deprecations
    plugin_filtering ansible-pull playbook inventory roles collections
""".split()

# What stops a target here; where the remark names no connection, over each.
CAUSES = {
    'binary_modules_posix': 'downloads programs', 'expect': 'downloads a release of pexpect, at its end',
    'cron': 'speeds cron up by a setting of systemd, which does not run there',
    'hostname': 'sets the name of a running Debian by systemd alone, which does not run there',
    'module_utils_urls': 'asks servers of the network',
    'ansible-playbook-callbacks': 'gives tasks of localhost five seconds, which a busy machine exceeds',
    'cli': 'downloads a release of pexpect',
    'inventory_toml': 'downloads a package of Python',
    'pyyaml': 'downloads the source of PyYAML',
    'collections_runtime_pythonpath': 'makes a virtual environment, and expects that Ansible runs in that one',
    'missing-interpreter': 'Mitogen has the host as unreachable',
    'ping': 'the error of a module has other words over Mitogen',
    'async_fail': 'the number of a job has another form over Mitogen',
    'become_sudo': 'wraps sudo in a program with options that Mitogen refuses',
    'module-serialization-profiles': 'a module cannot have a date over Mitogen',
    'module_utils_common.respawn': 'a module that starts itself anew fails over Mitogen',
    'remote_tmp': 'removes a user of whom a process of Mitogen is left',
    'callback_default': 'compares the order of hosts that sleep side by side, which a busy machine changes',
    'noexec': 'gives a job of localhost two seconds, which a busy machine exceeds',
    'service_facts': 'starts a service of systemd, which does not run there',
    'interpreter_discovery_python': 'expects /usr/bin/python3, where the Python of Ansible itself comes first',
    'facts_linux_network': 'asks for the interface of a default route, which there is not',
    'hardware_facts': 'makes disks for LVM',
    'mount_facts': 'starts a server of NFS',
}

# Of a host that is this machine, with the folder and the settings of the controller, as ansible-test has it for these:
# over the plugins `local`.
LOCAL = {'argspec', 'connection_local', 'test_files', 'var_reserved'}

# What is left out, so that the rest of a target runs: why, files of the target, and lines in them.
LEFT_OUT = {
    'unarchive': ('without what it downloads', {
        'tasks/main.yml': ['- import_tasks: test_download.yml\n', '- import_tasks: test_different_language_var.yml\n'],
    }),
    'infra': ('without a program that the source distribution lacks', {
        'runme.sh': [
            f'../../../../hacking/test-module.py {rest}\n' for rest in (
                '-m "$PING_MODULE_PATH"',
                '-m "$PING_MODULE_PATH" -I ansible_python_interpreter="${ANSIBLE_TEST_PYTHON_INTERPRETER}"',
                '-m library/test.py -I ansible_python_interpreter="${ANSIBLE_TEST_PYTHON_INTERPRETER}" '
                '<<< \'{"ANSIBLE_MODULE_ARGS": {}}\'')
        ],
    }),
}  # fmt: skip

# Locales that a target sets, and that a machine may not have.
LOCALES = {'preflight_encoding': 'en_US', 'tags': 'en_US'}

# Packages of the system that a target wants; they are downloaded before, and installed for the target alone.
WANTED = {
    'connection_delegation': ['sshpass'], 'connection_ssh': ['sshpass'], 'copy': ['acl'], 'lineinfile': ['acl'],
    'cron': ['cron', 'faketime'],
    'group': ['libuser'], 'user': ['libuser'], 'template': ['python3-jinja2'],
    'expect': ['python3-pexpect', 'python3-packaging', 'python3-setuptools'], 'package_facts': ['rpm', 'python3-apt'],
}

# As the first process of namespaces of its own: $1 is a folder for the overlay, $2 one that stays the real one, $3
# holds the keys, $4 the programs of Ansible, which targets start on the host too, $5 the packages to install, or is
# empty; the rest is the command.  Both ends of a connection see one file system, as several targets expect, which has
# devices of its own: terminals, and the socket of a log.
INSIDE = r"""
set -e
overlay=$1 results=$2 keys=$3 programs=$4 packages=$5; shift 5
ip link set lo up
mount -t tmpfs tmpfs "$overlay"; cd "$overlay"; mkdir upper work whole
mount -t overlay overlay -o lowerdir=/,upperdir=$PWD/upper,workdir=$PWD/work whole
mount -t tmpfs -o mode=755 tmpfs whole/dev; mkdir whole/dev/pts whole/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts whole/dev/pts
mount -t tmpfs -o mode=1777 tmpfs whole/dev/shm
ln -s pts/ptmx whole/dev/ptmx; ln -s /proc/self/fd whole/dev/fd
ln -s fd/0 whole/dev/stdin; ln -s fd/1 whole/dev/stdout; ln -s fd/2 whole/dev/stderr
for name in null zero full random urandom tty; do : > whole/dev/$name; mount --bind /dev/$name whole/dev/$name; done
mount -t proc proc whole/proc; mount --rbind /sys whole/sys
mount -t tmpfs tmpfs whole/run; mkdir -p whole/run/sshd
mount --bind "$results" "whole$results"
chroot whole usermod -p '*' root
# As the containers of ansible-test are.
rm -f whole/usr/lib/python3*/EXTERNALLY-MANAGED
# What another one has to precede is refused at first.
if [ -n "$packages" ]; then
    chroot whole sh -c 'dpkg -i "$0"/*.deb > /dev/null 2>&1 || dpkg -i "$0"/*.deb > /dev/null' "$packages"
fi
home=whole$(getent passwd 0 | cut -d: -f6)
mkdir -p "$home/.ssh"; chmod 711 "$home"; chmod 700 "$home/.ssh"
cp "$keys/user" "$home/.ssh/id_ed25519"; cp "$keys/user.pub" "$home/.ssh/authorized_keys"
printf 'Host *\n StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n LogLevel ERROR\n' > "$home/.ssh/config"
chmod 600 "$home"/.ssh/*
: > "$home/.bashrc"; : > "$home/.profile"
printf '%s\n' 'Port 22' 'ListenAddress 0.0.0.0' "HostKey $keys/host" 'UsePAM yes' 'PermitRootLogin yes' \
    'StrictModes no' 'Subsystem sftp internal-sftp' 'MaxSessions 100' 'MaxStartups 100' 'PrintMotd no' \
    "SetEnv PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$programs" \
    > whole/etc/ssh/sshd_config
chroot whole /usr/sbin/sshd -f /etc/ssh/sshd_config -E /run/sshd/log
exec chroot whole "$@"
"""


@dataclass
class Result:
    core: str
    over: str
    target: str
    status: int | None  # None: it took longer than the limit
    seconds: float
    left: list[str]  # processes that were there 10 s after the end
    used: int | None = None  # logins at the server, or daemons of econtext; None: not counted

    @property
    def passed(self) -> bool:
        return self.status == 0

    @property
    def word(self) -> str:
        if not self.passed:
            return 'failed'
        return 'unused' if self.used == 0 else 'passed'


# What runs are made of.


class Place:
    """The folder that keeps what was installed, and the results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.results = self.folder / 'results'
        self.results.mkdir(parents=True, exist_ok=True)
        self.keys = self.folder / 'keys'
        self.overlay = self.folder / 'overlay'
        self.overlay.mkdir(exist_ok=True)
        if not self.keys.exists():
            self.keys.mkdir(mode=0o700)
            for name in 'user', 'host':
                run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', str(self.keys / name)])

    def environment(self, core: str, python: str) -> Path:
        """Return the environment that has one core, Mitogen and econtext; make it where there is none."""
        folder = self.folder / f'env-{core}'
        done = folder / '.made'
        if not done.exists():
            print(f'installing ansible-core {core}', flush=True)
            run([python, '-m', 'venv', '--clear', str(folder)])
            pip = [str(folder / 'bin/python'), '-m', 'pip', 'install', '-qq', '--disable-pip-version-check']
            wanted = f'ansible-core=={core}', f'mitogen=={MITOGEN_RELEASE}', 'passlib', 'pexpect', 'bcrypt'
            run([*pip, *wanted, '-e', str(ROOT)])
            # Nothing that a target compiles outlives its run.
            run([str(folder / 'bin/python'), '-m', 'compileall', '-q', str(ROOT / 'src')])
            done.touch()
        return folder

    def source(self, core: str, python: str) -> Path:
        """Return the source distribution of one core, unpacked; only an interpreter that core supports can have it."""
        folder = self.folder / f'ansible_core-{core}'
        if not folder.exists():
            run(
                [
                    str(self.environment(core, python) / 'bin/python'),
                    '-m',
                    'pip',
                    'download',
                    '-qq',
                    '--disable-pip-version-check',
                    '--no-deps',
                    '--no-binary',
                    'ansible-core',
                    '-d',
                    str(self.folder),
                    f'ansible-core=={core}',
                ]
            )
            shutil.unpack_archive(str(self.folder / f'ansible_core-{core}.tar.gz'), str(self.folder), filter='data')
        return folder

    def packages(self, target: str) -> str:
        """Return the folder of the packages that a target wants, downloaded; an empty name if it wants none."""
        if target not in WANTED:
            return ''
        folder = self.folder / f'packages-{target}'
        if not folder.exists():
            beside = self.folder / f'packages-{target}.new'
            (beside / 'partial').mkdir(parents=True, exist_ok=True)
            run(['apt-get', '-qq', 'install', '--yes', '--no-install-recommends', '--download-only', '--reinstall',
                 '-o', f'Dir::Cache::archives={beside}', *WANTED[target]])  # fmt: skip
            beside.rename(folder)
        return str(folder)

    def note(self, core: str, over: str, target: str) -> Path:
        return self.results / f'{core} {over} {target}.json'

    def log(self, core: str, over: str, target: str) -> Path:
        return self.results / f'{core} {over} {target}.log'


def run(words: list[str]) -> None:
    subprocess.run(words, check=True)


# Inside of the namespaces.


def variables(over: str, target: str) -> dict[str, str]:
    connection = STOCK if over == MITOGEN else over
    if target in LOCAL:
        connection = connection.removesuffix(STOCK) + 'local'
    return {
        'ansible_host': '127.0.0.1', 'ansible_connection': connection, 'ansible_user': 'root',
        'ansible_ssh_common_args': '"-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"',
        'ansible_python_interpreter': '/usr/bin/python3', 'ansible_pipelining': 'true',
    }  # fmt: skip


def settings(environment: Path, over: str, tests: Path) -> dict[str, str]:
    """Return the environment of a target: that of ansible-test."""
    packages = next(environment.glob('lib/python3*/site-packages'))
    tools = packages / 'ansible_test/_util/target'
    for program in (tools / 'injector').glob('*.py'):
        # As ansible-test does it.
        text = program.read_text()
        if text.startswith('# auto-shebang\n'):
            program.write_text(f'#!{environment}/bin/python\n{text}')
        program.chmod(0o755)
    modules = tests.parent / 'python'
    modules.mkdir()
    (modules / 'ansible').symlink_to(packages / 'ansible')
    programs = f'{environment}/bin', f'{tools}/injector', f'{tools}/tools', '/usr/sbin:/usr/bin:/sbin:/bin'
    found = {
        'PATH': ':'.join(programs), 'HOME': pwd.getpwuid(0).pw_dir, 'LC_ALL': 'C.UTF-8',
        'ANSIBLE_CONFIG': str(tests / 'empty.cfg'),
        'ANSIBLE_NOCOLOR': '1', 'ANSIBLE_HOST_KEY_CHECKING': 'False', 'ANSIBLE_DEPRECATION_WARNINGS': 'False',
        'ANSIBLE_RETRY_FILES_ENABLED': 'false', 'INVENTORY_PATH': str(tests / 'inventory'),
        'ANSIBLE_INVENTORY': '/dev/null', 'ANSIBLE_TEST_PREFER_VENV': '',
        'ANSIBLE_TEST_PYTHON_INTERPRETER': f'{environment}/bin/python', 'ANSIBLE_TEST_PYTHON_VERSION': '3',
        'JUNIT_OUTPUT_DIR': '/tmp/junit',
        'ANSIBLE_TEST_ANSIBLE_LIB_ROOT': str(packages / 'ansible'),
        'ANSIBLE_FORCE_COLOR': 'false', 'ANSIBLE_FORCE_HANDLERS': 'true', 'ANSIBLE_HOST_PATTERN_MISMATCH': 'error',
        'ANSIBLE_INVENTORY_PLUGIN_EXTS': '.yaml, .yml, .json, .winrm, .networking', 'PAGER': '/bin/cat',
        'ANSIBLE_DISPLAY_TRACEBACK': 'never', 'ANSIBLE_DEVEL_WARNING': 'false', 'ANSIBLE_CALLBACKS_ENABLED': 'junit',
        'ANSIBLE_PYTHON_MODULE_RLIMIT_NOFILE': str(FILES), 'JUNIT_TASK_RELATIVE_PATH': str(tests.parents[1]),
        'JUNIT_REPLACE_OUT_OF_TREE_PATH': 'out-of-tree:', 'ANSIBLE_TEST_COVERAGE': '',
        'PYTHONPATH': str(modules), 'ANSIBLE_LIBRARY': str(tests.parent / 'support/integration/plugins/modules'),
        'USER': 'root', 'TERM': 'dumb',
    }  # fmt: skip
    if over == OURS:
        # Also for the hosts of a target's own inventory.
        found.update(ANSIBLE_TRANSPORT=OURS)
    if over == MITOGEN:
        plugins = next(environment.glob('lib/python3*/site-packages/ansible_mitogen/plugins/strategy'))
        found.update(ANSIBLE_STRATEGY='mitogen_linear', ANSIBLE_STRATEGY_PLUGINS=str(plugins))
    return found


def command(tests: Path, over: str, target: str, environ: dict[str, str]) -> tuple[list[str], Path]:
    """Return the command of a target, and where it runs, as ansible-test does it."""
    folder = tests / 'targets' / target
    if target == 'connection':
        names = ''.join(
            f'ours-{name} ansible_pipelining={value}\n' for name, value in (('on', 'true'), ('off', 'false'))
        )
        others = {name: value for name, value in variables(over, target).items() if name != 'ansible_pipelining'}
        lines = ''.join(f'{name}={value}\n' for name, value in others.items())
        inventory = tests / 'inventory-connection'
        inventory.write_text(f'[ours]\n{names}[ours:vars]\n{lines}')
        environ['INVENTORY'] = str(inventory)
        words = ['-e', 'target_hosts=ours', '-e', 'action_prefix=', '-e', 'local_tmp=/tmp/ansible-local', '-e',
                 'remote_tmp=/tmp/ansible-remote']  # fmt: skip
        return ['bash', './test.sh', *words], folder
    if (folder / 'runme.sh').exists():
        return ['bash', './runme.sh', '-v'], folder
    aliases = folder / 'aliases'
    facts = not (aliases.exists() and 'gather_facts/no' in aliases.read_text())
    play = tests / f'play-{target}.yml'
    play.write_text(json.dumps([{
        'hosts': 'testhost', 'gather_facts': facts, 'vars': {'output_dir': environ['OUTPUT_DIR']}, 'roles': [target],
    }]))  # fmt: skip
    environ['ANSIBLE_ROLES_PATH'] = str(tests / 'targets')
    return ['ansible-playbook', play.name, '-i', 'inventory', '-v'], tests


def collections(targets: Path, target: str) -> list[str]:
    """Return the folders of the collections that are in a target, and in those that its `aliases` need."""
    aliases = targets / target / 'aliases'
    text = aliases.read_text() if aliases.exists() else ''
    names = target, *re.findall(r'^needs/target/(\S+)', text, re.MULTILINE)
    return [str(targets / name) for name in names
            if (targets / name / 'ansible_collections/ansible_test' / name.replace('-', '_')).is_dir()]  # fmt: skip


def wanted_settings(folder: Path) -> dict[str, str]:
    """Return the variables of the environment for which the `aliases` of a target ask."""
    aliases = folder / 'aliases'
    text = aliases.read_text() if aliases.exists() else ''
    return dict(re.findall(r'^env/set/([^/\s]+)/(\S+)', text, re.MULTILINE))


def inside(core: str, over: str, target: str, environment: str, source: str, log: str, note: str,
           limit: str = str(LIMIT)) -> int:
    """Run one target; write the result as JSON."""
    # Targets run in a folder whose name is not ASCII, as with ansible-test.
    base = Path('/tmp', f'{target}-\u00c5\u00d1\u015a\u00cc\u03b2\u0141\u00c8')
    base.mkdir()
    run(['mount', '--bind', source, str(base)])
    tests = base / 'test/integration'
    host = ' '.join(f'{name}={value}' for name, value in variables(over, target).items())
    # The heading that targets look for is that of ansible-test's own inventory.
    heading = 'from test/lib/ansible_test/_data/inventory'
    (tests / 'inventory').write_text(f'[testgroup]\ntesthost {host}\n[testgroup:vars]\n# {heading}\n')
    environ = settings(Path(environment), over, tests)
    environ['OUTPUT_DIR'] = f'/tmp/out-{target}'
    Path(environ['OUTPUT_DIR']).mkdir(parents=True)
    Path(environ['ANSIBLE_CONFIG']).touch()
    if over == OURS:
        name_ours(tests / 'targets' / target)
        packages = next(Path(environment).glob('lib/python3*/site-packages'))
        (packages / 'counter.pth').write_text(COUNTER.format(str(DAEMONS)))
    _, parts = LEFT_OUT.get(target, ('', {}))
    for name, lines in parts.items():
        path = tests / 'targets' / target / name
        for line in lines:
            path.write_text(path.read_text().replace(line, ''))
    keep_log()
    if target in LOCALES:
        run(['localedef', '-i', LOCALES[target], '-f', 'UTF-8', f'{LOCALES[target]}.UTF-8'])
    words, where = command(tests, over, target, environ)
    environ['ANSIBLE_PLAYBOOK_DIR'] = str(where)
    environ.update(wanted_settings(tests / 'targets' / target))
    if found := collections(tests / 'targets', target):
        environ['ANSIBLE_COLLECTIONS_PATH'] = ':'.join(found)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    before = time.monotonic()
    status: int | None
    with open(log, 'wb') as file:
        process = subprocess.Popen(
            words, cwd=where, env=environ, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            start_new_session=True)
        try:
            status = process.wait(float(limit))
        except subprocess.TimeoutExpired:
            status = None
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    took = time.monotonic() - before
    result = Result(core, over, target, status, round(took, 1), remains(over), uses(over, target))
    Path(note).write_text(json.dumps(asdict(result)))
    return 0


def keep_log() -> None:
    """Write what programs log where a system without a journal has that."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind('/dev/log')
    os.chmod('/dev/log', 0o666)

    def keep() -> None:
        with open('/var/log/syslog', 'ab', buffering=0) as log:
            while True:
                log.write(server.recv(1 << 16).rstrip(b'\n\0') + b'\n')

    threading.Thread(target=keep, daemon=True).start()


def name_ours(folder: Path) -> None:
    """Have the files of a target name the plugins of econtext in place of Ansible's own; the overlay forgets that."""
    for path in folder.rglob('*'):
        if path.is_file() and not path.is_symlink() and path.suffix != '.py':
            before = path.read_bytes()
            after = NAMED.sub(rb'\1econtext.core.\2', before)
            if after != before:
                path.write_bytes(after)


def uses(over: str, target: str) -> int | None:
    """Return how often the connection was used; Ansible's own plugin `local` leaves nothing to count."""
    if over == OURS:
        return DAEMONS.stat().st_size if DAEMONS.exists() else 0
    if target in LOCAL:
        return None
    return LOGINS.read_text(errors='replace').count('Accepted ')


def remains(over: str) -> list[str]:
    """
    Return the commands of processes that are there 10 s after the end.

    A task of `raw` goes by the stock plugin, whose master stays for its ControlPersist: that one is ended first.
    """
    if over != OURS:
        return []
    end = time.monotonic() + 10
    while True:
        found = []
        for each in Path('/proc').iterdir():
            if each.name.isdigit() and int(each.name) not in (1, os.getpid()):
                try:
                    words = (each / 'cmdline').read_bytes().replace(b'\0', b' ').decode(errors='replace').strip()
                    if words.startswith('ssh: ') and words.endswith('[mux]'):
                        os.kill(int(each.name), signal.SIGTERM)
                except OSError:
                    continue  # it has ended
                if words and not words.startswith(('sshd: /usr/sbin/sshd', '/usr/sbin/sshd', '/usr/sbin/cron')):
                    found.append(words[:200])
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.1)


# Outside of them.


def measure(place: Place, core: str, over: str, target: str, python: str, limit: int) -> Result:
    note, log = place.note(core, over, target), place.log(core, over, target)
    note.unlink(missing_ok=True)
    environment, source = place.environment(core, python), place.source(core, python)
    paths = [str(each) for each in (environment, source, log, note)]
    process = subprocess.Popen(
        ['unshare', '-mpnuf', '--kill-child', '--propagation', 'private', 'bash', '-c', INSIDE, 'inside',
         str(place.overlay), str(place.results), str(place.keys), str(environment / 'bin'), place.packages(target),
         sys.executable, str(Path(__file__).resolve()), '--inside', core, over, target, *paths, str(limit)],
        stdin=subprocess.DEVNULL)  # fmt: skip
    try:
        process.wait()
    finally:
        # All below it ends with it, and it ends by no other signal.
        process.kill()
        process.wait()
    if not note.exists():
        raise SystemExit(f'the run of {target} could not begin: status {process.returncode}')
    return read(note)


def read(path: Path) -> Result:
    return Result(**json.loads(path.read_text()))


def table(results: list[Result], overs: list[str]) -> tuple[list[str], int]:
    """Return the lines of the table, and how many targets failed that `ssh` passes."""
    by = {(each.core, each.over, each.target): each for each in results}
    rows = dict.fromkeys((each.core, each.target) for each in results)
    lines = [' '.join(['core'.ljust(9), 'target'.ljust(32), *[over.ljust(20) for over in overs]])]
    worse = 0
    for core, target in rows:
        cells = []
        stock = by.get((core, STOCK, target))
        for over in overs:
            one = by.get((core, over, target))
            text = '-' if one is None else verdict(one)
            if one is not None and over == OURS and not one.passed and (stock is None or stock.passed):
                worse += 1
                text += ' <'
            cells.append(text.ljust(20))
        lines.append(' '.join([core.ljust(9), target.ljust(32), *cells]).rstrip())
    for over in overs:
        those = [each for each in results if each.over == over]
        left = sum(bool(each.left) for each in those)
        lines.append(f'{over}: {sum(each.passed for each in those)} of {len(those)} passed, {left} left processes')
    return lines, worse


def page(results: list[Result], before: str = '') -> str:
    """Return the results, and those of the page `before`, as a table in Markdown: a row for each target."""
    said = listed(before)
    said.update({(each.target, each.over, release(each.core)): each.word for each in results})
    overs = sorted({over for _, over, _ in said}, key=[STOCK, MITOGEN, OURS].index)
    releases = sorted({name for _, _, name in said}, key=lambda name: [int(part) for part in name.split('.')])
    lines = [
        '# Ansible\'s own targets', '',
        'ansible-core has integration tests of its own, named targets. `scripts/ansible_targets.py` runs them over '
        'Ansible\'s',
        f'plugin `ssh`, over Mitogen {MITOGEN_RELEASE} and over econtext, and writes this page. The versions are '
        'those of ansible-core.',
        'A dash: not run.',
        '*Unused*: the target passed without using the plugin. The remark says what stops a target that has failed.',
        '',
        f'| target | {" | ".join(f"`{over}`" for over in overs)} | remark |', '|---|' + '---|' * (len(overs) + 1)]
    for target in sorted({target for target, _, _ in said}):
        cells = []
        for over in overs:
            words: dict[str, list[str]] = {}
            for name in releases:
                word = said.get((target, over, name))
                if word is not None:
                    words.setdefault(word, []).append(name)
            cells.append('; '.join(f'{word} {", ".join(those)}' for word, those in words.items()) or '–')
        failed = any(each == target and word == 'failed' for (each, _, _), word in said.items())
        cells.append(CAUSES.get(target, '') if failed else LEFT_OUT.get(target, ('', {}))[0])
        lines.append(f'| {target} | {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def listed(page: str) -> dict[tuple[str, str, str], str]:
    """Return what a page says of each target, connection and release."""
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in page.splitlines() if line.startswith('|')]
    found = {}
    for target, *cells in rows[2:]:
        for over, cell in zip(rows[0][1:-1], cells, strict=False):
            for word, names in re.findall(r'(passed|failed|unused) ([\d., ]+)', cell):
                for name in names.split(', '):
                    found[target, over.strip('`'), name] = word
    return found


def release(core: str) -> str:
    return '.'.join(core.split('.')[:2])


def verdict(one: Result) -> str:
    text = 'too long' if one.status is None else one.word if one.passed else f'failed {one.status}'
    return f'{text} {one.seconds:.0f} s' + (' left!' if one.left else '')


def main() -> int:
    if sys.argv[1:2] == ['--inside']:
        return inside(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('--folder', type=Path, required=True, help='keeps what was installed, and the results')
    parser.add_argument('--core', action='append', help=f'of ansible-core: {", ".join(CORES)} unless told')
    parser.add_argument('--over', action='append', help='ssh, mitogen, econtext.core.ssh; all but mitogen unless told')
    parser.add_argument('--python', default=sys.executable, help='the interpreter for ansible: 3.12 or newer')
    parser.add_argument('--limit', type=int, default=LIMIT, help=f'seconds for one target, {LIMIT} unless told')
    parser.add_argument('--again', action='store_true', help='run what has a result, too')
    parser.add_argument('--failed', action='store_true', help='`ssh` is the last, and only where another has failed')
    parser.add_argument('--only-table', action='store_true', help='run nothing')
    parser.add_argument('--page', type=Path, help='write the table there, too, in Markdown, beside what it says')
    parser.add_argument('target', nargs='*', help='all that need no network unless told')
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    place = Place(options.folder)
    cores, overs = options.core or CORES, options.over or [STOCK, OURS]
    results = []
    for core in cores:
        for target in options.target or TARGETS:
            if not (place.source(core, options.python) / 'test/integration/targets' / target).exists():
                continue
            failed = False
            for over in sorted(overs, key=lambda each: options.failed and each == STOCK):
                note = place.note(core, over, target)
                if options.failed and over == STOCK and not failed and not note.exists():
                    continue
                if note.exists() and not options.again:
                    result = read(note)
                elif options.only_table:
                    continue
                else:
                    result = measure(place, core, over, target, options.python, options.limit)
                    print(f'{core} {target} {over}: {verdict(result)}', flush=True)
                    for words in result.left:
                        print(f'    left: {words}')
                results.append(result)
                failed = failed or not result.passed
    lines, worse = table(results, overs)
    print('\n'.join(lines))
    if options.page:
        options.page.write_text(page(results, options.page.read_text() if options.page.exists() else ''))
    return 1 if worse else 0


if __name__ == '__main__':
    sys.exit(main())
