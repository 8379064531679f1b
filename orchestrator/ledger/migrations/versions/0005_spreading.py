"""spreading: whether all is marked that was built on a wrong result"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    with op.batch_alter_table("taint") as rows:
        rows.add_column(sa.Column("spreading_since", sa.Double(), nullable=True))
        rows.create_index(
            "ix_taint_spreading",
            ["spreading_since"],
            sqlite_where=sa.text("spreading_since IS NOT NULL"),
            postgresql_where=sa.text("spreading_since IS NOT NULL"),
        )
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        op.create_table_comment(
            "taint",
            "A result that was found wrong (`cause` is itself), or that was built on one. `spreading_since` is set "
            "at the former until everything that was built on it before the mark is marked.",
        )
