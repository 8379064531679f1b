"""chains: no two open replays of one chain, and a person where nobody knows how an effect ended"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


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
    with op.batch_alter_table("effect") as rows:
        rows.add_column(sa.Column("called_at", sa.Double(), nullable=True))
        rows.add_column(sa.Column("settled_by", sa.String(length=100), nullable=True))
        rows.create_index(
            "ix_effect_begun",
            ["key"],
            sqlite_where=sa.text("applied_at IS NULL"),
            postgresql_where=sa.text("applied_at IS NULL"),
        )
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        op.create_table_comment(
            "replay_item",
            "One job of a replay: `waiting` until it is released as `new_job_id`, then `released`, and `done` or "
            "`failed` as that one ends; `refused` or `aborted` where it never was. `chain` is the first job of the "
            "chain of replays that the job stands in.",
        )
        op.create_table_comment(
            "effect",
            "`replay_class` says whether it may be applied again; `verification` what the world was read to show before "
            "that. `called_at` is when a person was called, since it ended before anybody knew whether it was applied; "
            "`settled_by` who looked then and found that it was.",
        )
