"""The live view of `conveyor top`: what a `Snapshot` looks like on a screen, and the keys that move about in it.

Nothing in here needs a package: docs/adr/0039 says why it draws by itself.
"""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   live
#   detail, help_page, overview
#   sections
#   executor_columns, memory_columns, run_columns
#   rows, table
#   canvas, keys, raw_terminal, text, units
