"""
Show another name for this process in ``ps``.

On Linux since 3.5 the kernel tells where in memory the command line stands, and
a process may write there.  No second interpreter start is needed, no C code.
Elsewhere the name stays as it is, and the log says so.  Entered by the main thread.
"""
import os


def rename(title):
    # type: (bytes) -> None
    """Write `title` over the command line; raise OSError or another if it fails."""
    stat = open('/proc/self/stat')
    try:
        fields = stat.read().split(')')[-1].split()
    finally:
        stat.close()
    start, end = [int(field) for field in fields[45:47]]
    room = end - start - 1
    memory = os.open('/proc/self/mem', os.O_WRONLY)
    try:
        os.lseek(memory, start, 0)
        os.write(memory, title[:room] + '\0'.encode() * (room + 1 - len(title[:room])))
    finally:
        os.close(memory)
