# Written by scripts/public_names.py.

from econtext import aio as aio
from econtext import inventory as inventory
from econtext import local as local
from econtext import ssh as ssh
from econtext import sudo as sudo
from econtext import testing as testing
from econtext import utils as utils
from econtext.controller.attach.client import Attachment as Attachment
from econtext.controller.attach.client import attach as attach
from econtext.controller.broker import Broker as Broker
from econtext.controller.commands.lines import BytesLine as BytesLine
from econtext.controller.commands.lines import Line as Line
from econtext.controller.commands.running import RunLines as RunLines
from econtext.controller.context import Context as Context
from econtext.controller.doctor.examination import Report as Report
from econtext.controller.doctor.examination import Step as Step
from econtext.controller.doctor.examination import doctor as doctor
from econtext.controller.errors import CallTimeout as CallTimeout
from econtext.controller.errors import ConnectError as ConnectError
from econtext.controller.errors import ContextLost as ContextLost
from econtext.controller.errors import CorruptStream as CorruptStream
from econtext.controller.errors import EcontextError as EcontextError
from econtext.controller.errors import ForkExited as ForkExited
from econtext.controller.errors import InternalError as InternalError
from econtext.controller.errors import Interrupted as Interrupted
from econtext.controller.errors import NotAllowed as NotAllowed
from econtext.controller.files.copying import Copied as Copied
from econtext.controller.files.paths import RemotePath as RemotePath
from econtext.controller.files.progress import TransferProgress as TransferProgress
from econtext.controller.fleet.executor import FleetExecutor as FleetExecutor
from econtext.controller.fleet.fleet import Fleet as Fleet
from econtext.controller.fleet.futures import Futures as Futures
from econtext.controller.fleet.futures import HostFuture as HostFuture
from econtext.controller.fleet.hosts import Host as Host
from econtext.controller.fleet.progress import Progress as Progress
from econtext.controller.fleet.results import FleetError as FleetError
from econtext.controller.fleet.results import Results as Results
from econtext.controller.fleet.streams import FleetStream as FleetStream
from econtext.controller.protocol.classes import register as register
from econtext.controller.raised import CallError as CallError
from econtext.controller.secret import Secret as Secret
from econtext.controller.session.callbacks import program as program
from econtext.controller.session.channels import Channel as Channel
from econtext.controller.session.forks import ForkResult as ForkResult
from econtext.controller.session.futures import Future as Future
from econtext.controller.session.selection import Selection as Selection
from econtext.controller.session.selection import select as select
from econtext.controller.session.streams import Stream as Stream

__version__: str
slave: bool
