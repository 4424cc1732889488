"""Worker processes that stay from one run to the next."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   world
#   worker
#   processes
#   process
#   copying_starter, orders
#   main_names
