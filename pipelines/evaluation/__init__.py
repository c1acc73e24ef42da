"""What answers are worth and how they look, for each kind of answer. No file here knows a task."""
