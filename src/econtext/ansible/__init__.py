"""
Ansible over econtext: what stands behind the connection plugins of the collection ``econtext.core``.

The strategy: Ansible forks a worker for each task, so no connection can live in a worker.  The first worker of a run
starts one daemon, which owns a broker and all contexts of the run; the workers ask it over a Unix socket.  A command
that a worker is to execute runs in a context that is there already.  A module that Ansible has packed in the form that
``payload`` knows runs in a fork of a context that has imported Ansible's own basis before.

Invariants:

* A command has exactly the words, the standard input, the standard output, the standard error and the status that it
  has over the stock plugin without a terminal.
* What is not recognized, or cannot be served, goes the stock plugin's way or runs as the shell command that it is: it
  costs time, and changes no result.
* A daemon, its contexts and its files end with the process of the run, however that ends.
* Nothing here imports Ansible: only the plugins do.
"""
