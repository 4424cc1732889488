"""The nodes of a run: each takes values, and passes on what it makes of them."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   loop_exit, merge, sink, zip
#   batch, inlet, loop_entry, source, split, tee, unbatch, work
#   deferral, join, waiting_list
#   node
