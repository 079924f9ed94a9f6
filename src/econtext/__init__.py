"""
Execution contexts: places, usually on other machines, where Python functions run.

A context needs nothing but a Python interpreter there, and the ``ssh`` client
here.  Start with ``Broker``::

    import econtext

    with econtext.Broker() as broker:
        web = broker.ssh('web1')
        print(web.call(os.getloadavg))

The rings, by folder: ``core`` runs in every context, ``parent`` and ``connectors``
in those that start others, ``controller`` in the user's own program only.
"""

#: True in a context, False in the program that started it.
slave = False

# The one list of public names: each name, and the module that has it, which is imported when the name is first used.
# Connectors are methods of brokers and contexts; `local`, `ssh` and `sudo` are names here, too. After a change, run
# scripts/public_names.py: type checkers and editors read the names in __init__.pyi.
_HOMES = {
    'Attachment': 'controller.attach.client',
    'attach': 'controller.attach.client',
    'Broker': 'controller.broker',
    'BytesLine': 'controller.commands.lines',
    'Line': 'controller.commands.lines',
    'RunLines': 'controller.commands.running',
    'Context': 'controller.context',
    'Report': 'controller.doctor.examination',
    'Step': 'controller.doctor.examination',
    'doctor': 'controller.doctor.examination',
    'CallTimeout': 'controller.errors',
    'ConnectError': 'controller.errors',
    'ContextLost': 'controller.errors',
    'CorruptStream': 'controller.errors',
    'EcontextError': 'controller.errors',
    'ForkExited': 'controller.errors',
    'InternalError': 'controller.errors',
    'Interrupted': 'controller.errors',
    'NotAllowed': 'controller.errors',
    'Copied': 'controller.files.copying',
    'RemotePath': 'controller.files.paths',
    'TransferProgress': 'controller.files.progress',
    'FleetExecutor': 'controller.fleet.executor',
    'Fleet': 'controller.fleet.fleet',
    'Futures': 'controller.fleet.futures',
    'HostFuture': 'controller.fleet.futures',
    'Host': 'controller.fleet.hosts',
    'Progress': 'controller.fleet.progress',
    'FleetError': 'controller.fleet.results',
    'Results': 'controller.fleet.results',
    'FleetStream': 'controller.fleet.streams',
    'register': 'controller.protocol.classes',
    'CallError': 'controller.raised',
    'Secret': 'controller.secret',
    'program': 'controller.session.callbacks',
    'Channel': 'controller.session.channels',
    'ForkResult': 'controller.session.forks',
    'Future': 'controller.session.futures',
    'Selection': 'controller.session.selection',
    'select': 'controller.session.selection',
    'Stream': 'controller.session.streams',
    'aio': '',
    'inventory': '',
    'local': '',
    'ssh': '',
    'sudo': '',
    'testing': '',
    'utils': '',
}

__all__ = [*sorted(_HOMES), 'slave']


def _module(name: str) -> object:
    # Not before a name is wanted: the near end of a command line has its answer before this were imported.
    from importlib import import_module
    return import_module(f'{__name__}.{name}')


def __getattr__(name: str) -> object:
    home = '_version' if name == '__version__' else _HOMES.get(name)
    if home is None:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    if not home:
        return _module(name)
    value = getattr(_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
