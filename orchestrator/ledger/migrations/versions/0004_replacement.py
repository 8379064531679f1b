"""replacement: jobs whose effects stand in the place of others"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    with op.batch_alter_table("job") as rows:
        rows.add_column(sa.Column("replaces", sa.String(length=26), nullable=True))
    op.create_index("ix_effect_subtask_id", "effect", ["subtask_id"])
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        op.create_table_comment(
            "job",
            "`origin` links a job to the one it reviews or reopens, `replay_of` to the one it replays, and `lineage` to the first of a chain of replays (null where it is the first): effects are keyed by it. `replaces` is the first of a chain whose effects were found wrong, and in whose place this job's stand. An ended job never moves. `stop_at` is when its deadline or its age ends it, `spent_nano_usd` what its attempts that ended have spent.",
        )
