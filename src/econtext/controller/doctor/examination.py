"""
What works on the way to a context, step by step, and what to do about the rest.

Invariants:

* The steps come in one order, and end with the first that fails.
* One login, so that no password is typed twice; but where it was refused, ssh is
  asked once more, without any password, what it offered.
* What the doctor starts it also ends.

One thread enters; `progress` may be called by others, one at a time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from econtext.controller.broker import Broker
from econtext.controller.connect import registry
from econtext.controller.connect.options import PATIENCE, check_common
from econtext.controller.context import Context
from econtext.controller.doctor import network
from econtext.controller.doctor.network import Note, StepFailed
from econtext.controller.doctor.probe import ENTERED, FOUND, PHASES, Startup, Watched
from econtext.controller.doctor.trials import Trials
from econtext.controller.errors import CallTimeout, ConnectError, EcontextError
from econtext.controller.failures import explain
from econtext.controller.text import harmless, harmless_lines

Progress = Callable[['Step'], None]

# Which step a failure belongs to; what is not here, to that which was reached.
STEPS = {
    'not-found': 'client', 'no-such-host': 'name',
    'unreachable': 'network', 'connection-refused': 'network', 'hung-up': 'network',
    'proxy-ended': 'network',
    **dict.fromkeys((
        'refused-key', 'unknown-host-key', 'changed-host-key', 'wrong-password', 'password-required',
        'passphrase-required', 'expired-password', 'no-such-user', 'not-allowed', 'tty-required'), 'login'),
    'no-login': 'shell', 'noise': 'shell', 'eaten-input': 'shell', 'no-input': 'shell', 'stalled': 'login',
    'limits': 'bootstrap', 'died': 'bootstrap',
    'no-python': 'interpreter', 'broken-python': 'interpreter',
}
SILENCE = 'Silence the start-up files of that shell where they are not interactive; it does no harm here.'
REFUSED = 'refused-key', 'password-required', 'wrong-password', 'passphrase-required'


@dataclass(frozen=True)
class Step:
    """
    One step of an examination.

    `outcome` is ``'ok'``, ``'note'`` (it works, and there is something to better),
    ``'failed'``, or ``'running'`` where progress is told.  `detail` is what was
    found, `seconds` how long it took, `remedy` what to do, `kind` that of the
    ConnectError, `lines` what was last seen.
    """

    name: str
    outcome: str = 'running'
    detail: str = ''
    seconds: float = 0.0
    remedy: str = ''
    kind: str = ''
    lines: str = ''

    def __str__(self) -> str:
        text = f'{self.outcome:7} {self.name:13} {self.seconds:7.3f} s  {self.detail}'
        for line in self.lines.splitlines():
            text += f'\n{"":26}| {line}'
        if self.remedy:
            text += f'\n{"":26}-> {self.remedy}'
        return text


@dataclass
class Report:
    """
    What was found on the way to one context.

    `subject` is what was examined, `steps` are the steps in their order;
    `executable` and `python_version` are those of the interpreter there, as far
    as it came.  As a text it is a table.
    """

    subject: str
    steps: list[Step] = field(default_factory=list)
    executable: str = ''
    python_version: tuple[int, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no step failed."""
        return self.failed is None

    @property
    def failed(self) -> Step | None:
        """The step that failed, or None."""
        return next((step for step in self.steps if step.outcome == 'failed'), None)

    def __str__(self) -> str:
        return '\n'.join([self.subject, *(str(step) for step in self.steps)])


def doctor(
    via: Broker | Context | None, *target: str, connector: str = 'ssh',
    progress: Progress | None = None, **options: Any,
) -> Report:
    """
    Try the way to a context, and return what works, what does not, and why.

    `via` is the broker or the context to start from; None for a broker of its
    own.  `target` and `options` are the arguments of the `connector`, a name: for
    ssh a host's name, and for example ``username=``.
    `progress` is called with each Step as it begins, and again as it ends,
    perhaps in another thread.

    A failure on the way is no exception, but the last step of the Report.  Raises
    TypeError or ValueError for options that make no sense or a connector that is
    not there, and if `via` itself has failed, its ConnectError or ContextLost.

    Example::

        report = econtext.doctor(None, 'web1', username='deploy')
        print(report)
        if not report.ok:
            print(report.failed.remedy)
    """
    if isinstance(via, str):
        raise TypeError('doctor() is told first where to begin: doctor(None, …), for a broker of its own')
    if via is None:
        with Broker() as broker:
            return doctor(broker, *target, connector=connector, progress=progress, **options)
    examination = Examination(via, target, connector, progress or (lambda step: None), options)
    try:
        examination.run()
    except Over:
        pass
    return examination.report


class Over(Exception):
    """A step failed; there is nothing further to see."""


class Examination:
    """The way to one context."""

    def __init__(
        self, via: Broker | Context, target: tuple[str, ...], connector: str,
        progress: Progress, options: dict[str, Any],
    ) -> None:
        self.via = via
        self.target = target
        self.connector = connector
        self.progress = progress
        self.options = options
        self.patience: Any = options.get('connect_timeout', PATIENCE)
        self.argv: list[str] = []
        self.report: Report = Report(' '.join([connector, *target]))
        if isinstance(via, Context):
            self.report.subject += f' from {via.name}'

    def run(self) -> None:
        """Take the steps until one fails."""
        startup = Startup(lambda phase: self.progress(Step(phase)))
        watched = Watched(self.via, self.own(), startup)
        if isinstance(self.via, Broker):
            self.look(watched)
        startup.begun = startup.times['login'] = time.monotonic()
        self.progress(Step('login'))
        context = self.begin(watched)
        try:
            self.started(context, startup)
            self.work(context, startup.word(FOUND))
        except BaseException:
            context.close()
            raise
        self.step('end', lambda: end(context))

    def begin(self, origin: Watched) -> Any:
        """Call the connector, be it ours or a third party's."""
        if self.connector in registry.ours():
            return getattr(origin, self.connector)(*self.target, **self.options)
        return origin.connect(self.connector, **self.options)

    def own(self) -> list[str]:
        """Return the interpreters to try first: those of the same machine."""
        if self.connector not in ('local', 'sudo', 'su', 'doas'):
            return []
        here = sys.executable if isinstance(self.via, Broker) else self.via.executable
        return [here] if here else []

    # Before anything is started.

    def look(self, watched: Watched) -> None:
        """Look at what can be seen from here."""
        plan = Planned(self.via)
        self.begin(plan)
        argv = plan.argv
        if self.connector != 'ssh':
            self.step('client', lambda: network.program(argv[0]))
            return
        self.argv = argv[:-1]
        self.step('client', lambda: network.client(argv[0], self.patience))
        settings: dict[str, str] = {}
        self.step('configuration', lambda: self.configured(settings))
        proxy = network.proxy(settings)
        if proxy or not settings:
            # The way there is known to others only: ssh itself will tell.
            return
        found: list[Any] = []
        self.step('name', lambda: resolved(settings, found))
        self.step('network', lambda: network.connect(found, min(self.patience, 10.0)))

    def configured(self, settings: dict[str, str]) -> str:
        settings.update(network.configuration(self.argv, self.patience))
        if not settings:
            return 'this client does not tell'
        text = '{user}@{hostname} port {port}'.format_map({'user': '?', 'hostname': '?', 'port': '?', **settings})
        proxy = network.proxy(settings)
        return f'{text}, by {proxy}' if proxy else text

    # While it starts.

    def started(self, context: Context, startup: Startup) -> None:
        """Wait until the context is ready; tell the steps that led there."""
        try:
            context.wait_ready(self.patience + 5)
        except ConnectError as error:
            self.broke_off(startup, error.kind, error.lines)
        except CallTimeout as error:
            self.broke_off(startup, 'timeout', str(error))
        except EcontextError as error:
            self.broke_off(startup, 'ended', str(error))
        now = time.monotonic()
        if isinstance(self.via, Broker):
            # Of what others start nothing is heard here.
            startup.ended()
        self.report.executable = context.executable
        self.report.python_version = context.python_version
        found = startup.word(FOUND)
        if found:
            self.passed(startup, len(PHASES) - 1)
            begun = startup.times['bootstrap']
        else:
            begun = startup.begun
        version = '.'.join(str(part) for part in context.python_version)
        step = Step('bootstrap', 'ok', f'Python {version}, process {context.pid}', max(0.0, now - begun))
        self.add(noted(step, startup.muttered(), 'Look into sitecustomize, usercustomize and .pth files there.'))

    def broke_off(self, startup: Startup, kind: str, lines: str) -> None:
        """Tell where the start ended, and why."""
        if kind == 'no-login' and startup.word(ENTERED):
            # The login shell did run the command: what ended is behind it.
            kind = 'ended'
        if kind == 'timeout' and startup.phase() == 'login' and self.report.steps[-1].name == 'network':
            # Not the way there, for the server did speak.
            kind = 'stalled'
        phase = STEPS.get(kind, startup.phase())
        if phase in PHASES:
            self.passed(startup, PHASES.index(phase))
        shown = [line for line in lines.splitlines() if not line.startswith((ENTERED, FOUND))]
        if kind in REFUSED and self.argv:
            shown += network.evidence(self.argv, min(self.patience, 10.0))
        self.fail(phase, kind, '\n'.join(shown), time.monotonic() - startup.times[startup.phase()])

    def passed(self, startup: Startup, count: int) -> None:
        """Tell the first `count` steps of a start that went well."""
        shell = startup.word(ENTERED)
        now = time.monotonic()
        times = [startup.times.get(phase, now) for phase in PHASES]
        login = 'commands run there' if shell else 'accepted'
        quiet = Step('shell', 'ok', shell, times[2] - times[1])
        steps = [
            Step('login', 'ok', login, times[1] - times[0]),
            noted(quiet, startup.noisy(), SILENCE),
            Step('interpreter', 'ok', startup.word(FOUND), times[3] - times[2]),
        ]
        for step in steps[:count]:
            self.add(step)

    # Once it runs.

    def work(self, context: Context, found: str) -> None:
        """Try what a context is for."""
        trials = Trials(context, self.patience)
        self.step('call', trials.call)
        self.step('modules', trials.modules)
        self.step('clock', trials.clock)
        if found:
            self.step('start-up', lambda: trials.start_up(found))
        self.step('output', trials.output)
        self.step('round trip', trials.round_trip)
        self.step('throughput', trials.throughput)

    # Steps.

    def step(self, name: str, action: Callable[[], str | Note]) -> None:
        """Take one step; raise Over if it fails."""
        self.progress(Step(name))
        begun = time.monotonic()
        try:
            found = action()
        except StepFailed as failure:
            self.fail(name, failure.kind, failure.seen, time.monotonic() - begun)
        except EcontextError as error:
            self.fail(name, 'ended', str(error), time.monotonic() - begun)
        else:
            seconds = time.monotonic() - begun
            if isinstance(found, Note):
                self.add(Step(name, 'note', found.seen, seconds, found.remedy))
            else:
                self.add(Step(name, 'ok', found, seconds))

    def fail(self, name: str, kind: str, lines: str, seconds: float) -> None:
        what, remedy = explain(kind)
        self.add(Step(name, 'failed', what, seconds, remedy, kind, lines))
        raise Over

    def add(self, step: Step) -> None:
        step = replace(step, detail=harmless_lines(step.detail), remedy=harmless_lines(step.remedy),
                       lines=harmless_lines(step.lines))
        self.report.steps.append(step)
        self.progress(step)


class Planned(Watched):
    """Tells the command line of what would be started."""

    def __init__(self, via: Any) -> None:
        super().__init__(via, (), Startup(lambda phase: None))
        self.argv: list[str] = []

    def _start(self, request: Any) -> Any:
        module = registry.find(request.connector)
        check_common(request.common, getattr(self, module.__name__.rpartition('.')[2], None))
        self.argv = list(module.plan(request.options)[0])


def noted(step: Step, lines: list[str], remedy: str) -> Step:
    """Return `step`, which went well but for `lines`."""
    if not lines:
        return step
    return replace(
        step, outcome='note', detail=f'{step.detail}; {len(lines)} line{"s"[:len(lines) > 1]} of noise', remedy=remedy,
        lines='\n'.join(harmless(line) for line in lines[:5]))


def resolved(settings: dict[str, str], found: list[Any]) -> str:
    hostname = settings.get('hostname', '')
    found += network.addresses(hostname, int(settings.get('port', '22')))
    return f'{hostname} is ' + ', '.join(dict.fromkeys(str(entry[4][0]) for entry in found))


def end(context: Context) -> str:
    context.close()
    node = context._node
    if node.id in node.broker.unreaped:
        raise StepFailed('ended', 'its program still runs')
    return 'the context and its connection have ended'
