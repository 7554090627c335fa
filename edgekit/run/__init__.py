"""The runtimes, each in a process of its own, and what measuring them shares."""
