"""Fitting the shipped networks to procedural scenes: seeded, resumable to the step, watchable."""
