"""Benchmarks: conveyor and its rivals, side by side in one run (``conveyor bench``).

    cli             options, exit codes, order of work
    runner          interleaves the rivals, chooses item counts, keeps the time budget
    measurement     one measurement: fresh processes, a barrier, two checked phases
    bars            the promises of the project, each with its bound
    backlog, idle   the two bars that are not a transfer rate
    report, plot, document          a table, a chart, JSON
    rivals/ payloads topologies     what is measured
    machine, busy, summary          where it is measured, who else was at work; medians, ratios

Nothing here is imported by the rest of conveyor but by the ``bench`` verb.
"""
