"""The `conveyor` command: one verb a file. Data goes to standard output, all else to standard error."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   app
#   map
#   check, doctor, gc, get, ls, map_run, move, pause, peek, purge, put, quick, rm, tail, wait
#   move_options
#   info, moving, terminal
#   completion, dash, demo, dump, item_lines, map_figures, map_options, map_work, metrics, opening, run, top
#   line_function, map_output
#   joblog
#   shell/
#   map_blocks
#   confirm, halt, map_inputs, map_source, watching/
#   bench, jobs, map_item, option, producer_consumer, target
#   exit_codes
