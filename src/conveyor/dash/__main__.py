"""`python -m conveyor.dash`: a dashboard for the run that started it; see `dashboard_of_run`."""

from __future__ import annotations

import sys

from .server import serve
from .settings import Settings

if __name__ == "__main__":
    sys.exit(serve(Settings(follow=int(sys.argv[1]))))
