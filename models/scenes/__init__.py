"""Drawn pictures with known factors, part masks and landmarks: unlimited exact training data."""
