"""Which agents and scans exist: SQLite through SQLAlchemy Core."""
