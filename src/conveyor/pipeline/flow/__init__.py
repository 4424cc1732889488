"""Where items are on their way through a stage: pure data, without clock and without I/O."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   ledger
#   reorder_buffer
#   chunk, lineage, local_channel
