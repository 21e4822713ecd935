"""The Agent's way out where its network lets nothing out but through a proxy of its own."""
