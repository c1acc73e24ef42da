"""Raw files, public data sets and small built-in data as `tf.data`; text processing that runs inside the graph."""
