"""What runs in the workers of a pipeline, be they processes, threads or coroutines, and what they say to its engine.

Imported by every spawned worker, so nothing here imports the engine or anything heavy.
"""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   template
#   process_main, remote
#   main_module, persistent
#   serve
#   functions, renewal, seeding, voice
#   status_page, status_writer
#   failing, identity, line_stream, log_sender, messages, own_memory, sealed, stranded, worker_queue
#   by_value
#   arguments, buffers, identity_words, main_classes, native_threads
