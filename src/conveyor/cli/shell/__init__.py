"""Commands as work for `conveyor map --shell`: from a template and an item to a program that is run."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   command
#   template
#   block, contexts, holes, outcome
