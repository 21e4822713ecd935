"""What alembic runs to migrate: our connection, inside the transaction that is open on it."""

from alembic import context

from socksfusion.registry.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
