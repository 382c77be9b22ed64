"""Tasks: what an encoder is evaluated on, a file each."""
