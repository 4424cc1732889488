"""Run a pipeline without processes: in virtual time, with chosen deaths, delays and orders. For tests.

    from conveyor.testing import Death, Simulation

    report = Simulation(seed=1, deaths=[Death("parse", "call", item=3)]).run(
        Pipeline(range(10)).map(parse, workers=2, retries=1).to(list)
    )

See docs/testing.md.
"""

from .pipeline.testing.broken import Broken
from .pipeline.testing.death import ANY, Death, Moment
from .pipeline.testing.simulation import Simulation
from .pipeline.testing.stuck import Stuck

__all__ = ["ANY", "Broken", "Death", "Moment", "Simulation", "Stuck"]
