"""Benchmarks: conveyor and its rivals, side by side in one run (``conveyor bench``).

    cli, settings   options, exit codes
    session         the order of the work
    runner          interleaves the rivals, chooses item counts, keeps the time budget
    measurement     one measurement: fresh processes, a barrier, two checked phases
    roofline        what bare copies of the same arrays reach, beside the rivals
    bars, verdicts  the promises of the project, each with its bound, and whether they are met
    extras          the bars that are not a transfer rate: codec, memory, backlog, idle, creation, start
    report, plot, document          a table, a chart, JSON
    read_document   the way back from JSON, for the chart of an earlier run
    rivals/, payloads, arrays, codec_items topologies     what is measured
    machine, busy, summary          where it is measured, who else was at work; medians, ratios
    burners         what makes a machine busy
    optional        packages that may be missing

Nothing here is imported by the rest of conveyor but by the ``bench`` verb.
"""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   __main__
#   cli
#   plot, read_document
#   document, report, session
#   run, verdicts
#   bars, extras, runner
#   codec, settings, summary
#   backlog, codec_items, creation, idle, measurement, roofline
#   memory, payloads, rivals/
#   arrays, burners, start
#   busy, machine, optional, processes, topologies
