"""``python -m conveyor.bench``: the same as ``conveyor bench``."""

from __future__ import annotations

import sys

from conveyor._command_line import missing_sentence

if (missing := missing_sentence()) is not None:
    sys.exit(f"conveyor.bench: {missing}")

from conveyor.bench.cli import main

sys.exit(main(sys.argv[1:]))
