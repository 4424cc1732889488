"""Files that a pipeline reads or writes: where they are, how they are compressed, and how they come to be whole."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   expand, make_output, reading
#   local_output, remote_output, stdout_output
#   location, output, target
#   compression
#   address, beginning, optional
