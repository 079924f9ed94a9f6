"""
The connector of pyinfra: ``@econtext/HOST``.

Needs the package pyinfra: ``pip install 'econtext[pyinfra]'``, which then finds the connector by its entry point.  The
same inventory as for ``@ssh`` works; a host is connected once, its commands need no new channel and no new ``sudo``.

Modules: ``connector`` is what pyinfra calls, ``client`` and ``helper`` are the two ends of the process that has the
broker, ``frames`` what these say, ``data`` and ``users`` turn what pyinfra says into options of econtext.
"""
