"""The engine of all tasks: records, training, the run folder, export, the command line. It imports no task."""
