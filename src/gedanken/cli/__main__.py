"""`python -m gedanken.cli`, the same as `gedanken`."""

import sys

from gedanken.cli.entry import main

sys.exit(main())
