"""How worker processes are started."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   make_starter
#   fork_starter, spawn_starter
#   starter
#   hidden_module, worker_process
