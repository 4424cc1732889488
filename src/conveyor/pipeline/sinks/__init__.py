"""Where items end."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   make_sink
#   broker, call, collect, events, file, of_type, queue, reduce
#   sink
