"""Workers from their start to their end, and what the engine needs of the world outside."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   real_world
#   pool, start_worker
#   leaving, process_worker
#   engine_context, limits, pool_port, stillborn, worker_stats, world
#   coroutine_worker, executor_worker, inline_worker, thread_worker
#   handle
#   inbox
#   slowest, transport
#   channels, exit_cause, lifecycle, poller, settlement, share_memory, stage_port, stint, system_poller
