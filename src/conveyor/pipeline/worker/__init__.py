"""What runs in the workers of a pipeline, be they processes, threads or coroutines, and what they say to its engine.

Imported by every spawned worker, so nothing here imports the engine or anything heavy.
"""
