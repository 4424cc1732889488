"""Where items end."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   make_sink
#   encoded_file
#   csv_encoder, file, json_encoder, parquet_file, table
#   line_encoder
#   broker, call, collect, events, json_text, of_type, queue, reduce
#   encoder, rows, sink
