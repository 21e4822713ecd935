"""How a registry of an earlier version becomes one of this version: alembic's scripts, run by ``store``."""
