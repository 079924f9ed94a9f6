"""
Start a context and show what it does, one thing after the other.

    python examples/hello.py                        a process on this machine
    python examples/hello.py [SSH_ARGUMENT …] HOST  a process on HOST, by ssh
"""

import logging
import os
import sys

import greeting

import econtext


def main(broker, arguments):
    if arguments:
        context = broker.ssh(arguments[-1], ssh_args=arguments[:-1])
    else:
        context = broker.local()

    context.wait_ready()
    title(f'A context, {context.name}: process {context.pid}')

    title('A function of greeting.py, which that interpreter does not have')
    for key, value in context.call(greeting.describe).items():
        print(f'    {key + ":":10} {value}')

    title('What is printed and logged there, as records of the logging module here')
    context.call(greeting.work)

    title('An exception there, caught here')
    try:
        context.call(os.listdir, '/no/such/folder')
    except FileNotFoundError as error:
        print('    ' + str(error).splitlines()[0])

    title('The name that ps shows')
    print('    ' + (context.call(greeting.name_in_ps) or 'that machine has no /proc'))

    title('From there on, as root')
    try:
        root = context.sudo().wait_ready()
        print(f'    user id {root.call(os.getuid)}, process {root.pid}, started by process {context.pid}')
    except econtext.ConnectError as error:
        if error.kind == 'not-found':
            print('    skipped: sudo is not installed there')
        else:
            print(f'    not here: {error.what}')


def title(text):
    print('\n' + text)


if __name__ == '__main__':
    # To the same output as what is printed, so that records stand where they came.
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format='    %(levelname)s %(name)s: %(message)s')
    with econtext.Broker() as broker:
        main(broker, sys.argv[1:])
