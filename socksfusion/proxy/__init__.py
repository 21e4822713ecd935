"""The Proxy: listeners and services on our side."""
