"""The `conveyor` command: one verb a file. Data goes to standard output, all else to standard error."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   app
#   map
#   doctor, gc, get, ls, map_run, move, pause, peek, purge, put, rm, tail, wait
#   moving
#   dash, demo, info, item_lines, line_function, run, terminal
#   confirm
#   bench, exit_codes, jobs, map_figures, producer_consumer, target
