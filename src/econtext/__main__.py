"""``python -m econtext``: the command line."""

import sys

from econtext.cli import main

sys.exit(main())
