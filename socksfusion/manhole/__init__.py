"""The SSH manhole for live inspection."""
