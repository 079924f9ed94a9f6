"""
``importlib.resources``, which came with Python 3.7: a path to a file of a package.

Invariants:

* The path is good until its block ends; a file that was made for it is removed then.

Any thread may enter.
"""
import contextlib
import importlib
import os
import pathlib
import shutil
import tempfile


@contextlib.contextmanager
def path(package, resource):
    found = importlib.import_module(package) if isinstance(package, str) else package
    place = os.path.join(os.path.dirname(found.__file__), resource)
    if os.path.exists(place):
        yield pathlib.Path(place)
        return
    content = found.__spec__.loader.get_data(place)
    folder = tempfile.mkdtemp()
    try:
        copied = pathlib.Path(folder, resource)
        copied.write_bytes(content)
        yield copied
    finally:
        shutil.rmtree(folder)
