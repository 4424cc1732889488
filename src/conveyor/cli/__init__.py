"""The `conveyor` command: one verb a file. Data goes to standard output, all else to standard error."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   app
#   map
#   check, doctor, gc, get, ls, map_run, move, pause, peek, purge, put, quick, rm, tail, wait
#   info, moving
#   completion, dash, demo, dump, item_lines, line_function, metrics, opening, run, terminal, top
#   confirm, watching/
#   bench, exit_codes, jobs, map_figures, option, producer_consumer, target
