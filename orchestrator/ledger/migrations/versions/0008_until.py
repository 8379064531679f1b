"""until: how long a pause was to hold, beside who set it"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    with op.batch_alter_table("setting_change") as rows:
        rows.add_column(sa.Column("until", sa.Double(), nullable=True))
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        op.create_table_comment(
            "setting_change",
            "What operators and upkeep changed while the fleet ran. `until` is when a pause was to end by itself.",
        )
