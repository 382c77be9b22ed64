"""The training stream: shards to batches of views and side information."""
