"""What is done for good: from the ends of a pipeline back to the items of its source."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   leased_inputs
#   acknowledger, checkpoint
#   done_keys, origin_counter, store
