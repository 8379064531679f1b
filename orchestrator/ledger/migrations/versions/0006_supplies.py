"""supplies: whose result was handed to what had lacked it"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

ID = sa.String(length=26)


def upgrade() -> None:
    op.create_table(
        "supply",
        sa.Column("subtask_id", ID, nullable=False),
        sa.Column("supplied_by", ID, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_supply_job_id")),
        sa.ForeignKeyConstraint(["subtask_id"], ["subtask.id"], name=op.f("fk_supply_subtask_id")),
        sa.ForeignKeyConstraint(["supplied_by"], ["subtask.id"], name=op.f("fk_supply_supplied_by")),
        sa.PrimaryKeyConstraint("subtask_id", "supplied_by", name=op.f("pk_supply")),
        comment="What had lacked something, and the subtask of another job whose result it was handed for that.",
    )
    with op.batch_alter_table("supply") as rows:
        rows.create_index("ix_supply_job_id", ["job_id"], unique=False)
        rows.create_index("ix_supply_supplied_by", ["supplied_by"], unique=False)
