"""Runs of a pipeline in a simulated world: virtual time, workers without processes, every choice drawn from a seed."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   simulation
#   invariants, simulated_world
#   simulated_worker
#   agent, simulated_poller, simulated_source, timer
#   turns
#   fate
#   broken, death, simulated_status_page, stuck
