"""pacing: budgets by dimension, estimates that learn, shares, caps and repeated questions"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

WORD = sa.String(length=64)
KEY = sa.String(length=200)


def upgrade() -> None:
    # Budgets hold nothing that lasts: the orchestrator seeds them anew from its catalog when it starts.
    op.drop_table("budget")
    op.create_table(
        "budget",
        sa.Column("key", KEY, nullable=False),
        sa.Column("vendor", WORD, nullable=False),
        sa.Column("account", WORD, nullable=False),
        sa.Column("group", WORD, nullable=False),
        sa.Column("charging", sa.JSON(), nullable=False),
        sa.Column("concurrency", sa.Integer(), nullable=False),
        sa.Column("refilled_at", sa.Double(), nullable=False),
        sa.Column("closed_until", sa.Double(), nullable=True),
        sa.Column("closed_why", sa.Text(), server_default="", nullable=False),
        sa.Column("memory", sa.JSON(), nullable=True),
        sa.Column("heard_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_budget")),
        comment="What an account allows one group of models; its dimensions stand in budget_level.",
    )
    op.create_table(
        "budget_level",
        sa.Column("key", KEY, nullable=False),
        sa.Column("dimension", WORD, nullable=False),
        sa.Column("declared_limit", sa.Double(), nullable=False),
        sa.Column("limit", sa.Double(), nullable=False),
        sa.Column("declared_burst_seconds", sa.Double(), nullable=False),
        sa.Column("burst_seconds", sa.Double(), nullable=False),
        sa.Column("level", sa.Double(), nullable=False),
        sa.Column("seen_limit", sa.Double(), nullable=True),
        sa.Column("seen_remaining", sa.Double(), nullable=True),
        sa.Column("seen_at", sa.Double(), nullable=True),
        sa.CheckConstraint(
            'declared_limit > 0 AND "limit" > 0 AND burst_seconds > 0',
            name=op.f("ck_budget_level_above_zero"),
        ),
        sa.ForeignKeyConstraint(["key"], ["budget.key"], name=op.f("fk_budget_level_key")),
        sa.PrimaryKeyConstraint("key", "dimension", name=op.f("pk_budget_level")),
        comment="One dimension of a budget. `declared` is what the catalog or an operator says, the rest is "
        "learned. Levels are as of the budget's `refilled_at` and refill by the database's clock.",
    )
    op.create_table(
        "calibration",
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("lane", WORD, nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("input_factor", sa.Double(), nullable=False),
        sa.Column("charged_factor", sa.Double(), nullable=False),
        sa.Column("output_mean", sa.Double(), nullable=False),
        sa.Column("recent_outputs", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("model", "lane", name=op.f("pk_calibration")),
        comment="What the attempts of a lane with a model really took, against what was estimated.",
    )
    op.create_table(
        "share",
        sa.Column("kind", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_share")),
        comment="Floors by purpose and by lane, weights by tenant, as operators set them; they outrank the "
        "defaults.",
    )
    op.create_table(
        "spending_cap",
        sa.Column("scope", WORD, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("period", WORD, nullable=False),
        sa.Column("limit_nano_usd", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("limit_nano_usd >= 0", name=op.f("ck_spending_cap_not_negative")),
        sa.PrimaryKeyConstraint("scope", "name", "period", name=op.f("pk_spending_cap")),
        comment="Money that a tenant, a lane, a purpose or the fleet may spend in a period.",
    )
    op.create_table(
        "spending",
        sa.Column("scope", WORD, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("period", sa.String(length=10), nullable=False),
        sa.Column("nano_usd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "name", "period", name=op.f("pk_spending")),
        comment="Running totals of what attempts that ended have spent, by day in UTC and in all, so that a cap "
        "needs no history; of jobs, while they have a cap. A call of unknown end counts at its worst case.",
    )
    _book_what_was_spent()
    op.create_table(
        "setting_change",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("actor", sa.String(length=100), nullable=False),
        sa.Column("what", sa.String(length=300), nullable=False),
        sa.Column("old", sa.Text(), nullable=False),
        sa.Column("new", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_setting_change")),
        comment="What operators and upkeep changed while the fleet ran.",
    )
    op.create_table(
        "answer_cache",
        sa.Column("key", sa.String(length=71), nullable=False),
        sa.Column("subtask_id", sa.String(length=26), nullable=False),
        sa.ForeignKeyConstraint(["subtask_id"], ["subtask.id"], name=op.f("fk_answer_cache_subtask_id")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_answer_cache")),
        comment="Who answers, or has answered, this very question; others with the same key follow it.",
    )
    op.create_table(
        "vendor_batch",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("job_id", sa.String(length=26), nullable=False),
        sa.Column("vendor", WORD, nullable=False),
        sa.Column("account", WORD, nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("name", KEY, nullable=True),
        sa.Column("gathered_at", sa.Double(), nullable=False),
        sa.Column("begun_at", sa.Double(), nullable=True),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_vendor_batch_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vendor_batch")),
        sa.UniqueConstraint("job_id", name=op.f("uq_vendor_batch_job_id")),
        comment="Requests that wait together for a vendor's answers. `job_id` is the job that carries them, `name` "
        "what the vendor calls it, `begun_at` the intent before it is handed in.",
    )
    op.create_index("ix_vendor_batch_vendor_model_ended_at", "vendor_batch", ["vendor", "model", "ended_at"])
    op.create_index(
        "ix_vendor_batch_open",
        "vendor_batch",
        ["state"],
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    for table, column in (
        ("job", sa.Column("max_cost_nano_usd", sa.BigInteger())),
        ("job", sa.Column("deadline", sa.Double())),
        ("subtask", sa.Column("model", sa.String(length=100))),
        ("subtask", sa.Column("most_output_tokens", sa.BigInteger(), server_default="0", nullable=False)),
        ("subtask", sa.Column("repeat_key", sa.String(length=71))),
        ("subtask", sa.Column("repeat_within_seconds", sa.Double(), server_default="0", nullable=False)),
        ("subtask", sa.Column("follows", sa.String(length=26))),
        ("subtask", sa.Column("answered_by", sa.String(length=26))),
        ("subtask", sa.Column("saved_nano_usd", sa.BigInteger(), server_default="0", nullable=False)),
        ("subtask", sa.Column("batch_scope", KEY)),
        ("subtask", sa.Column("place", sa.Double())),
        ("subtask", sa.Column("capped_by", KEY)),
        ("subtask", sa.Column("worst_nano_usd", sa.BigInteger(), server_default="0", nullable=False)),
        ("attempt", sa.Column("estimated_input_tokens", sa.BigInteger(), server_default="0", nullable=False)),
        ("attempt", sa.Column("promised_output_tokens", sa.BigInteger(), server_default="0", nullable=False)),
        ("attempt", sa.Column("reserved_nano_usd", sa.BigInteger(), server_default="0", nullable=False)),
        ("escalation", sa.Column("told_at", sa.Double())),
        ("worker", sa.Column("simulates", sa.JSON(), server_default="[]", nullable=False)),
        ("worker", sa.Column("reads_limits", sa.JSON(), server_default="[]", nullable=False)),
    ):
        op.add_column(table, column)
    op.execute("UPDATE escalation SET told_at = opened_at")
    op.execute("UPDATE subtask SET place = ready_at WHERE ended_at IS NULL")
    _name_the_models_of_open_work()
    op.drop_index("ix_subtask_ready", "subtask")
    op.create_index(
        "ix_subtask_ready",
        "subtask",
        ["lane", "purpose", "tenant", "budget", "priority", "place", "id"],
        sqlite_where=sa.text("state = 'ready'"),
        postgresql_where=sa.text("state = 'ready'"),
    )
    for name, of, where in (
        ("ix_subtask_repeat_key", "repeat_key", "state = 'ready' AND repeat_key IS NOT NULL"),
        ("ix_subtask_follows", "follows", "state = 'ready' AND follows IS NOT NULL"),
        ("ix_subtask_answered_by", "job_id", "answered_by IS NOT NULL"),
        ("ix_subtask_batch_scope", "batch_scope", "state = 'ready' AND batch_scope IS NOT NULL"),
    ):
        op.create_index(name, "subtask", [of], sqlite_where=sa.text(where), postgresql_where=sa.text(where))
    op.create_index(
        "ix_subtask_capped_by",
        "subtask",
        ["capped_by", "worst_nano_usd"],
        sqlite_where=sa.text("capped_by IS NOT NULL AND ended_at IS NULL"),
        postgresql_where=sa.text("capped_by IS NOT NULL AND ended_at IS NULL"),
    )
    with op.batch_alter_table("attempt") as attempts:
        attempts.add_column(sa.Column("vendor_batch_id", sa.String(length=26)))
        attempts.create_foreign_key(
            op.f("fk_attempt_vendor_batch_id"), "vendor_batch", ["vendor_batch_id"], ["id"]
        )
    op.create_index(
        "ix_attempt_vendor_batch_id",
        "attempt",
        ["vendor_batch_id"],
        sqlite_where=sa.text("vendor_batch_id IS NOT NULL"),
        postgresql_where=sa.text("vendor_batch_id IS NOT NULL"),
    )
    if _is_postgresql():  # SQLite keeps no comments
        op.create_table_comment(
            "subtask",
            "`tries` counts attempts that ran and were not turned away. `budget` is the group of accounts "
            "it draws on; the attempt names the account that was chosen. `place` is when it first became ready. "
            "`follows` names who is asked, or was, the same question; `answered_by` whose answer it took over. "
            "`capped_by` is the spending cap that holds it parked. `batch_scope` names the vendor and the "
            "model by whose batches it may go, until it was gathered into one.",
        )


def _name_the_models_of_open_work() -> None:
    """So far they stood in the handoffs alone; and work draws on a vendor's group, no longer on one account."""
    shape = "(handoff -> 'route' ->> '{}')" if _is_postgresql() else "json_extract(handoff, '$.route.{}')"
    model, most, vendor, group = (
        shape.format(name) for name in ("model", "max_output_tokens", "vendor", "group")
    )
    op.execute(
        f"UPDATE subtask SET model = {model}, most_output_tokens = CAST({most} AS BIGINT), "
        f"budget = {vendor} || '/' || {group} WHERE ended_at IS NULL AND budget IS NOT NULL"
    )


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _book_what_was_spent() -> None:
    """In all, for each tenant, lane and purpose and for the fleet. The day on which this runs begins at zero."""
    for scope, named in (
        ("fleet", "''"),
        ("tenant", "subtask.tenant"),
        ("lane", "attempt.lane"),
        ("purpose", "attempt.purpose"),
    ):
        op.execute(
            "INSERT INTO spending (scope, name, period, nano_usd) "
            "SELECT scope, name, 'total', SUM(cost_nano_usd) FROM ("
            f"SELECT '{scope}' AS scope, {named} AS name, attempt.cost_nano_usd FROM attempt "
            "JOIN subtask ON subtask.id = attempt.subtask_id WHERE attempt.cost_nano_usd > 0"
            ") AS spent GROUP BY scope, name"
        )
