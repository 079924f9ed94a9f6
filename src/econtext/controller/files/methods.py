"""
The methods of a context about its files. What carries them out is imported when one is first used.

Any thread of the program may enter.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from econtext.controller.files.copying import Copied
    from econtext.controller.files.paths import RemotePath
    from econtext.controller.files.progress import Callback
    from econtext.controller.session.contract import Home

    Local = str | os.PathLike[str]
    Remote = str | os.PathLike[str]


class Files:
    """Files of a context."""

    def put(
        self: Home, local: Local | bytes | BinaryIO | RemotePath, remote: Remote | RemotePath, *,
        mode: int | None = None, times: bool = True,
        owner: bool | str | None = None, symlinks: Literal['keep', 'follow', 'skip'] = 'keep',
        compare: Literal['time', 'content', 'always'] | None = None, delete: bool = False, resume: bool = False,
        durable: bool | None = None, progress: Callback | bool | None = None,
    ) -> Copied:
        """
        Copy a file or a folder of this program to the context; return what was done.

        `local` is a path; or the content itself, as bytes or a file that is open for reading bytes; or a
        path() of another context, from which the file then goes without being kept here.
        `remote` is a path there, relative to the directory of the context; ``~`` is expanded there.
        A file becomes `remote`, or goes into it under its own name if it is a folder.  A folder
        becomes `remote`, whether or not that is there.  With a / behind it, `remote` must be a
        folder, and either goes into it under its own name.

        A file is written beside its place, checked, and renamed into it: there is the old or the new one,
        whole, whatever fails.  `mode` is that of each file, by default what it has here; `times` keeps the
        times of change.  `owner` is True for the names that it has here, where that is allowed, or
        ``'user:group'``; else new files belong to the user of the context, and a file that is replaced keeps its
        owner where that is allowed.  `symlinks` says whether those in a
        folder are kept as they are, followed or skipped.  What is the same is not sent, as `compare`
        says: of the same size and ``'time'``, which is the default for folders, of the same ``'content'``,
        or ``'always'`` sent, the default for one file.  `delete` removes what the folder there has beside.
        `resume` keeps what a transfer that breaks has written, and goes on behind it the next time.
        `durable` says whether each file is to outlive a loss of power, by default one file alone.
        `progress` is a function that gets a TransferProgress, or True for a bar on standard error.

        Raises OSError as files here do, naming the context; ValueError or TypeError before anything is
        sent; what call() raises if the context is gone.

        Example::

            web.put('site', '/srv/site', delete=True)
        """
        from econtext.controller.files import copying
        return copying.put(self, local, remote, copying.Options(
            mode, times, owner, symlinks, compare, delete, resume, durable, progress))

    def get(
        self: Home, remote: Remote | RemotePath, local: Local | BinaryIO | RemotePath, *,
        mode: int | None = None, times: bool = True,
        owner: bool | str | None = None, symlinks: Literal['keep', 'follow', 'skip'] = 'keep',
        compare: Literal['time', 'content', 'always'] | None = None, delete: bool = False, resume: bool = False,
        durable: bool | None = None, progress: Callback | bool | None = None,
    ) -> Copied:
        """
        Copy a file or a folder of the context to this program; return what was done.

        `remote` is a path there; `local` is a path here, a file that is open for writing bytes, or a path() of
        another context.  What goes where is as for put(), and so are `mode`, `times`, `owner`, `symlinks`,
        `compare`, `delete`, `resume`, `durable` and `progress`.  Nothing is written outside of `local`, whatever the
        context sends; bits of the mode beyond 0o777 are left out.

        Raises OSError as files here do, naming the context where the error is there; CorruptStream for
        what no honest context sends; what call() raises if the context is gone.

        Example::

            web.get('/var/log/syslog', 'logs/')
        """
        from econtext.controller.files import copying
        return copying.get(self, remote, local, copying.Options(
            mode, times, owner, symlinks, compare, delete, resume, durable, progress))

    def open(
        self: Home, path: Remote | RemotePath, mode: str = 'r', buffering: int = -1, encoding: str | None = None,
        errors: str | None = None, newline: str | None = None,
    ) -> Any:
        """
        Open a file of the context; return a file object.

        `path` is a path there; `mode`, `buffering`, `errors` and `newline` are as for the built-in function,
        and `encoding` is UTF-8 unless given.  What is read in order is read ahead; what is written is
        written behind, and waited for by flush() and close(): an error shows there at the latest.  Opening a
        named pipe waits for nobody: a reader without a writer is at the end, a writer without a reader fails.

        Raises OSError as files here do, naming the context; ValueError or TypeError before anything is sent;
        what call() raises if the context is gone.

        Example::

            with web.open('/etc/hosts') as hosts:
                names = [line.split() for line in hosts]
        """
        from econtext.controller.files import remote
        return remote.open_file(self, path, mode, buffering, encoding, errors, newline)

    def path(self: Home, *parts: Remote | RemotePath) -> RemotePath:
        """
        Return a path in the context, with the methods of ``pathlib.Path``, which run there.

        `parts` are texts or pure paths, which are joined.  ``~`` is a name as any other until expanduser();
        texts are UTF-8 unless told.  Beside those of pathlib there is ``rmtree()``.

        Raises TypeError or ValueError for what is no path; methods raise OSError as files here do, naming
        the context, and what call() raises if the context is gone.

        Example::

            for path in web.path('/etc').glob('*.conf'):
                print(path.name, path.stat().st_size)
        """
        from econtext.controller.files import paths
        return paths.RemotePath(self, *parts)
