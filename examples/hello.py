"""
Start a context and show what it can do, one line for each thing.

    python examples/hello.py                        a process on this machine
    python examples/hello.py [SSH_ARGUMENT …] HOST  a process on HOST, by ssh
"""

import logging
import os
import sys

import greeting

import econtext


def work(log_name):
    """Run in the context: print a line, start a program that prints another, log a third."""
    print('printed by a function')
    os.system('echo printed by a program')
    logging.getLogger(log_name).warning('logged by a function')


def main(broker, arguments):
    if arguments:
        context = broker.ssh(arguments[-1], ssh_args=arguments[:-1])
    else:
        context = broker.local()

    title('A function of a module that only this machine has')
    for key, value in greeting_lines(context):
        print(f'    {key + ":":10} {value}')

    title('What is printed and logged there, as records of the logging module here')
    context.call(work, 'hello')

    title('An exception there, caught here')
    try:
        context.call(os.listdir, '/no/such/folder')
    except FileNotFoundError as error:
        print('    ' + str(error).splitlines()[0])

    title('The name that ps shows')
    name = context.call(greeting.name_in_ps)
    print('    ' + (name.decode() if name else 'there is no /proc on that machine'))

    title('From there on, as root')
    try:
        root = context.sudo().wait_ready()
        print(f'    user id {root.call(os.getuid)}, process {root.pid}, started by process {context.pid}')
    except econtext.ConnectError as error:
        print(f'    not here: {error.what}')


def title(text):
    print('\n' + text, flush=True)


def greeting_lines(context):
    yield 'context', context.name
    yield from context.call(greeting.describe).items()


if __name__ == '__main__':
    # Records go to standard output, so that they stand where they came.
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format='    %(levelname)s %(name)s: %(message)s')
    with econtext.Broker() as broker:
        main(broker, sys.argv[1:])
