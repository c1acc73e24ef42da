"""Evaluation and display of answers, a module for each kind of answer. No module here imports a task."""
