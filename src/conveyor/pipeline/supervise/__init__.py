"""Workers from their start to their end, and what the engine needs of the world outside."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   real_world
#   pool, start_worker
#   leaving, process_worker
#   coroutine_worker, engine_context, executor_worker, limits, pool_port, stillborn, thread_worker, worker_stats, world
#   handle
#   inbox
#   slowest, transport
#   channels, exit_cause, lifecycle, poller, settlement, share_memory, stage_port, stint, system_poller
