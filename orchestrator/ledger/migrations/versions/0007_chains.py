"""chains: no two open replays of one chain"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"


def upgrade() -> None:
    with op.batch_alter_table("replay_item") as rows:
        rows.add_column(sa.Column("chain", sa.String(length=26), nullable=True))
        rows.create_index(
            "ix_replay_item_chain",
            ["chain"],
            unique=True,
            sqlite_where=sa.text("state IN ('waiting', 'released')"),
            postgresql_where=sa.text("state IN ('waiting', 'released')"),
        )
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        op.create_table_comment(
            "replay_item",
            "One job of a replay: `waiting` until it is released as `new_job_id`, then `released`, and `done` or "
            "`failed` as that one ends; `refused` or `aborted` where it never was. `chain` is the first job of the "
            "chain of replays that the job stands in.",
        )
