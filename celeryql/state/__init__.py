"""What Redis holds of tasks, and how it is read."""
