"""What runs have trained, opened again: to evaluate their checkpoints, and to export them."""
