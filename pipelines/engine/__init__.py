"""What runs any task: its record, training, the run folder, export, the command line. No file here knows a task."""
