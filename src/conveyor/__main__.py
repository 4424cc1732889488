"""`python -m conveyor`: the `conveyor` command."""

from __future__ import annotations

import sys

from conveyor.cli.app import main

if __name__ == "__main__":  # a spawned worker imports this file too, under another name
    sys.exit(main())
