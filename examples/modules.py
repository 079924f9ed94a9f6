"""
Call a function of a package that only this machine has; what it imports travels too.

    python examples/modules.py [HOST]
"""

import sys

import myapp.mypkg.mymodule

import econtext


def main(broker):
    context = broker.ssh(sys.argv[1]) if sys.argv[1:] else broker.local()
    print(context.call(myapp.mypkg.mymodule.my_function))


if __name__ == '__main__':
    with econtext.Broker() as broker:
        main(broker)
