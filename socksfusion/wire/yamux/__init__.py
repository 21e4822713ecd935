"""The yamux specification as a sans-IO session."""
