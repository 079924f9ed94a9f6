"""The members of standard modules that what travels may use without asking whether they are there.

Each is in every Python from 2.4 to 3.15. That they are in those at hand is tested; that they are in 2.4 to 2.6 and in
3.0 to 3.5 was looked up, in the documentation of 2.4 and in what each later version says it removed: do so before you
add one. What some version lacks stands in a `try` or under an `if hasattr(…)`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from polyglot import MODULES, Source

KNOWN = """
    atexit: _run_exitfuncs register
    binascii: b2a_base64 a2b_base64
    datetime: date datetime time timedelta tzinfo
    errno: EACCES EAGAIN EBADF EBUSY ECHILD EEXIST EINTR EINVAL EIO EISDIR ELOOP EMFILE ENAMETOOLONG ENFILE ENOENT
        ENOEXEC ENOMEM ENOSYS ENOTDIR ENOTEMPTY ENXIO EPERM EPIPE ESPIPE ESRCH ESTALE EWOULDBLOCK errorcode
    fcntl: FD_CLOEXEC F_DUPFD F_GETFD F_GETFL F_SETFD F_SETFL LOCK_EX LOCK_NB fcntl flock ioctl
    fnmatch: fnmatchcase
    gc: collect get_objects
    grp: getgrgid getgrnam
    itertools: count chain
    linecache: cache
    logging: Handler Logger NOTSET WARNING getLogger
    marshal: dumps loads
    operator: attrgetter
    os: O_CREAT O_EXCL O_NONBLOCK O_RDONLY O_RDWR O_WRONLY P_WAIT WCOREDUMP WEXITSTATUS WIFEXITED WIFSIGNALED WNOHANG
        WTERMSIG X_OK R_OK W_OK F_OK _exit access chdir chmod chown close defpath dup dup2 environ execv execve execvp
        fdopen fork fstat fsync ftruncate getcwd getegid geteuid getgid getpgid getpgrp getpid getppid getuid isatty
        kill killpg lchown linesep link listdir lseek lstat
        mkdir mkfifo nice open openpty path pipe read readlink rename rmdir
        sep setgid setpgid setsid setuid spawnv stat strerror symlink sysconf system times ttyname umask uname unlink
        urandom utime waitpid write
    os.path: abspath basename dirname exists expanduser isabs isdir isfile islink join normpath realpath split splitext
    mmap: mmap
    posix: fork
    pwd: getpwnam getpwuid
    select: POLLERR POLLHUP POLLIN POLLOUT error poll select
    signal: SIGALRM SIGCHLD SIGCONT SIGHUP SIGINT SIGKILL SIGPIPE SIGTERM SIGURG SIG_DFL SIG_IGN alarm getsignal pause
        signal
    shutil: copyfile copymode rmtree
    socket: SHUT_RDWR socket socketpair
    stat: S_IFDIR S_IFLNK S_IFMT S_IFREG S_IMODE S_ISDIR S_ISLNK S_ISREG S_IWOTH
    struct: calcsize error pack unpack
    subprocess: PIPE Popen
    sys: __excepthook__ __stderr__ __stdin__ __stdout__ _getframe argv byteorder exc_info excepthook
        executable exit getfilesystemencoding getrecursionlimit maxunicode meta_path
        modules path path_hooks platform prefix setrecursionlimit stderr stdin stdout version version_info
    tempfile: mkdtemp
    termios: ECHO ECHONL OPOST TCSANOW TIOCSCTTY tcgetattr tcsetattr
    threading: Condition Thread
    time: ctime gmtime localtime mktime sleep strftime time
    traceback: format_exc format_exception format_tb
    zlib: compress crc32 decompress decompressobj error
"""


def table(text: str) -> set[str]:
    found: set[str] = set()
    module = ''
    for word in text.split():
        if word.endswith(':'):
            module = word[:-1]
        else:
            found.add('%s.%s' % (module, word))
    return found


MEMBERS = table(KNOWN)
LATER = {
    'sys.dont_write_bytecode',  # setting it does nothing before 2.6, and no harm
    'sys.__spec__',  # in find_spec, which no import asks for before 3.4
}


def used(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of each member of a standard module that `text` uses under no condition."""
    source = Source(text)
    imported = {
        alias.asname or alias.name
        for node in ast.walk(source.tree) if isinstance(node, ast.Import)
        for alias in node.names if alias.name in MODULES
    }  # fmt: skip
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.module in MODULES and not source.guarded(node):
            for alias in node.names:
                yield node.lineno, '%s.%s' % (node.module, alias.name)
        elif isinstance(node, ast.Attribute) and not source.guarded(node):
            name = ast.unparse(node)
            module = name.rpartition('.')[0]
            if module in imported or module == 'os.path':
                yield node.lineno, name


def unknown(text: str) -> list[tuple[int, str]]:
    """Return what of that is not known to be in every version."""
    return [(line, name) for line, name in used(text) if name not in MEMBERS | LATER]
