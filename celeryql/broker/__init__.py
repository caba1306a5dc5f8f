"""kombu's Redis transport without message loss, and messages captured as they are built."""
