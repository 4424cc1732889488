"""The nodes of a run: each takes values, and passes on what it makes of them."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   merge, sink, zip
#   batch, inlet, source, split, tee, unbatch, work
#   join
#   node
