"""What lies under every shared object: names, references that travel in pickles, descriptors, waiting, ends."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   reducers, references
#   tensors | torch
#   jax_arrays | jax numpy
#   polars_frames | polars
#   arrow_slices | pyarrow
#   shared_storages | torch
#   served_descriptors
#   arrays, assignable, descriptor_server, devices, labels, names, normal_end, open_or_create, owner, passing, producing
#   units, waiter
