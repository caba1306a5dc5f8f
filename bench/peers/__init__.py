"""What the project is compared with: the least that does the same job without it."""
