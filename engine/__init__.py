"""How work is described, planned, cached, spread and reported; it knows nothing of pictures."""
