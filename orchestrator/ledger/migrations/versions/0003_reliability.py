"""reliability: replays, pauses, blockers, taint, subjects, signatures of dead letters"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

ID = sa.String(length=26)
WORD = sa.String(length=64)
DIGEST = sa.String(length=71)
NAME = sa.String(length=100)
KEY = sa.String(length=200)
SUBJECT = sa.String(length=300)


def upgrade() -> None:
    op.create_table(
        "pause",
        sa.Column("scope", WORD, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("kills", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("by", NAME, nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("scope", "name", name=op.f("pk_pause")),
        comment="While a row stands and `until` has not passed, nothing of its scope is granted or claimed; where it `kills`, what runs is stopped as well.",
    )
    op.create_table(
        "replay",
        sa.Column("id", ID, nullable=False),
        sa.Column("requested_by", NAME, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("approved_by", NAME, nullable=True),
        sa.Column("selection", sa.JSON(), nullable=False),
        sa.Column("edit", sa.JSON(), nullable=True),
        sa.Column("from_step", WORD, nullable=True),
        sa.Column("per_minute", sa.Double(), nullable=True),
        sa.Column("most_open", sa.Integer(), nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replay")),
        comment="A governed re-run: what was selected, by whom and why. Its selection is frozen in replay_item.",
    )
    with op.batch_alter_table("replay") as rows:
        rows.create_index(
            "ix_replay_open",
            ["state"],
            unique=False,
            sqlite_where=sa.text("ended_at IS NULL"),
            postgresql_where=sa.text("ended_at IS NULL"),
        )

    op.create_table(
        "subject",
        sa.Column("name", SUBJECT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("changed_by", ID, nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_subject")),
        comment="What effects change. A target counts its changes; a part of it has the count at its own last change, so that both are compared with the count that a handoff was built on.",
    )
    op.create_table(
        "blocker",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant", WORD, nullable=False),
        sa.Column("prerequisite", NAME, nullable=False),
        sa.Column("subject", KEY, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("supply_job_id", ID, nullable=True),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("resolved_at", sa.Double(), nullable=True),
        sa.Column("resolution", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_blocker_job_id")),
        sa.ForeignKeyConstraint(["supply_job_id"], ["job.id"], name=op.f("fk_blocker_supply_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blocker")),
        comment="A missing prerequisite: one row however many subtasks wait for it.",
    )
    with op.batch_alter_table("blocker") as rows:
        rows.create_index(
            "ix_blocker_open",
            ["tenant", "prerequisite", "subject"],
            unique=True,
            sqlite_where=sa.text("resolved_at IS NULL"),
            postgresql_where=sa.text("resolved_at IS NULL"),
        )

    op.create_table(
        "replay_item",
        sa.Column("replay_id", ID, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("subtask_id", ID, nullable=True),
        sa.Column("state", WORD, nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("new_job_id", ID, nullable=True),
        sa.Column("released_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_replay_item_job_id")),
        sa.ForeignKeyConstraint(["new_job_id"], ["job.id"], name=op.f("fk_replay_item_new_job_id")),
        sa.ForeignKeyConstraint(["replay_id"], ["replay.id"], name=op.f("fk_replay_item_replay_id")),
        sa.PrimaryKeyConstraint("replay_id", "job_id", name=op.f("pk_replay_item")),
        comment="One job of a replay: `waiting` until it is released as `new_job_id`, then `released`, and `done` or `failed` as that one ends; `refused` or `aborted` where it never was.",
    )
    with op.batch_alter_table("replay_item") as rows:
        rows.create_index(
            "ix_replay_item_new_job_id",
            ["new_job_id"],
            unique=False,
            sqlite_where=sa.text("new_job_id IS NOT NULL"),
            postgresql_where=sa.text("new_job_id IS NOT NULL"),
        )
        rows.create_index(
            "ix_replay_item_open",
            ["job_id"],
            unique=True,
            sqlite_where=sa.text("state IN ('waiting', 'released')"),
            postgresql_where=sa.text("state IN ('waiting', 'released')"),
        )
        rows.create_index(
            "ix_replay_item_released_at",
            ["replay_id", "released_at"],
            unique=False,
            sqlite_where=sa.text("released_at IS NOT NULL"),
            postgresql_where=sa.text("released_at IS NOT NULL"),
        )
        rows.create_index("ix_replay_item_state", ["replay_id", "state", "job_id"], unique=False)

    op.create_table(
        "taint",
        sa.Column("subtask_id", ID, nullable=False),
        sa.Column("cause", ID, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("by", NAME, nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["cause"], ["subtask.id"], name=op.f("fk_taint_cause")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_taint_job_id")),
        sa.ForeignKeyConstraint(["subtask_id"], ["subtask.id"], name=op.f("fk_taint_subtask_id")),
        sa.PrimaryKeyConstraint("subtask_id", "cause", name=op.f("pk_taint")),
        comment="A result that was found wrong (`cause` is itself), or that was built on one.",
    )
    with op.batch_alter_table("taint") as rows:
        rows.create_index("ix_taint_cause", ["cause"], unique=False)
        rows.create_index(op.f("ix_taint_job_id"), ["job_id"], unique=False)

    with op.batch_alter_table("dead_letter") as rows:
        rows.add_column(sa.Column("vendor", WORD, nullable=True))
        rows.add_column(sa.Column("normalised", sa.Text(), server_default="", nullable=False))
        rows.add_column(sa.Column("signature", DIGEST, server_default="", nullable=False))
        rows.create_index("ix_dead_letter_at", ["at"], unique=False)
        rows.create_index("ix_dead_letter_signature", ["signature", "at"], unique=False)

    with op.batch_alter_table("effect") as rows:
        rows.add_column(sa.Column("replay_class", WORD, server_default="idempotent", nullable=False))
        rows.add_column(sa.Column("verified_at", sa.Double(), nullable=True))
        rows.add_column(sa.Column("verification", sa.Text(), server_default="", nullable=False))

    with op.batch_alter_table("job") as rows:
        rows.add_column(sa.Column("replay_id", ID, nullable=True))
        rows.add_column(sa.Column("replay_of", ID, nullable=True))
        rows.add_column(sa.Column("lineage", ID, nullable=True))
        rows.add_column(sa.Column("stop_at", sa.Double(), nullable=True))
        rows.add_column(sa.Column("spent_nano_usd", sa.BigInteger(), server_default="0", nullable=False))
        rows.create_index(
            "ix_job_stop_at",
            ["stop_at"],
            unique=False,
            sqlite_where=sa.text("ended_at IS NULL AND stop_at IS NOT NULL"),
            postgresql_where=sa.text("ended_at IS NULL AND stop_at IS NOT NULL"),
        )
        rows.create_index(
            "ix_job_replay_id",
            ["replay_id"],
            unique=False,
            sqlite_where=sa.text("replay_id IS NOT NULL"),
            postgresql_where=sa.text("replay_id IS NOT NULL"),
        )
        rows.create_index(
            "ix_job_replay_of",
            ["replay_of"],
            unique=False,
            sqlite_where=sa.text("replay_of IS NOT NULL"),
            postgresql_where=sa.text("replay_of IS NOT NULL"),
        )

    with op.batch_alter_table("subtask") as rows:
        rows.add_column(sa.Column("rung", sa.Integer(), server_default="0", nullable=False))
        rows.add_column(sa.Column("tries_below_rung", sa.Integer(), server_default="0", nullable=False))
        rows.add_column(sa.Column("asks", ID, nullable=True))
        rows.add_column(sa.Column("suspect", sa.Boolean(), server_default="0", nullable=False))
        rows.add_column(sa.Column("blocked_by", ID, nullable=True))
        rows.add_column(sa.Column("kept_from", ID, nullable=True))
        rows.add_column(sa.Column("subject", SUBJECT, nullable=True))
        rows.add_column(sa.Column("built_on", sa.Integer(), nullable=True))
        rows.add_column(sa.Column("stop_at", sa.Double(), nullable=True))
        rows.create_index(
            "ix_subtask_stop_at",
            ["stop_at"],
            unique=False,
            sqlite_where=sa.text("ended_at IS NULL AND stop_at IS NOT NULL"),
            postgresql_where=sa.text("ended_at IS NULL AND stop_at IS NOT NULL"),
        )
        rows.create_index(
            "ix_subtask_blocked_by",
            ["blocked_by"],
            unique=False,
            sqlite_where=sa.text("blocked_by IS NOT NULL AND ended_at IS NULL"),
            postgresql_where=sa.text("blocked_by IS NOT NULL AND ended_at IS NULL"),
        )
        rows.create_index(
            "ix_subtask_kept_from",
            ["kept_from"],
            unique=False,
            sqlite_where=sa.text("kept_from IS NOT NULL"),
            postgresql_where=sa.text("kept_from IS NOT NULL"),
        )
        rows.create_index(
            "ix_subtask_subject",
            ["subject"],
            unique=False,
            sqlite_where=sa.text("subject IS NOT NULL AND ended_at IS NULL"),
            postgresql_where=sa.text("subject IS NOT NULL AND ended_at IS NULL"),
        )

    with op.batch_alter_table("worker") as rows:
        rows.add_column(sa.Column("busy", sa.Integer(), server_default="0", nullable=False))
        rows.add_column(sa.Column("heard_at", sa.Double(), nullable=True))
        rows.add_column(sa.Column("canary_at", sa.Double(), nullable=True))
        rows.add_column(sa.Column("silent_at", sa.Double(), nullable=True))

    with op.batch_alter_table("attempt") as rows:
        rows.add_column(sa.Column("rings", sa.Integer(), server_default="1", nullable=False))
        rows.add_column(sa.Column("rung_at", sa.Double(), nullable=True))
        rows.add_column(sa.Column("suspect", sa.Boolean(), server_default="0", nullable=False))
        rows.create_index(
            "ix_attempt_lost",
            ["worker", "ended_at"],
            unique=False,
            sqlite_where=sa.text("state = 'lost'"),
            postgresql_where=sa.text("state = 'lost'"),
        )

    # A later migration that only expands leaves the row as it is; one that contracts sets the oldest code that
    # can live with what it takes away.
    compatibility = op.create_table(
        "compatibility",
        sa.Column("oldest_code", WORD, nullable=False),
        sa.PrimaryKeyConstraint("oldest_code", name=op.f("pk_compatibility")),
        comment="One row: the version of the oldest code that may still work on this ledger.",
    )
    op.bulk_insert(compatibility, [{"oldest_code": "0003"}])

    with op.batch_alter_table("escalation") as rows:
        rows.add_column(sa.Column("subject", KEY, nullable=True))

    _hold_open_work_to_the_rules_by_which_it_ends()

    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        op.create_table_comment(
            "escalation",
            "`subject` names what one call at a time is made about, until somebody takes note of it.",
        )
        op.create_table_comment(
            "job",
            "`origin` links a job to the one it reviews or reopens, `replay_of` to the one it replays, and `lineage` to the first of a chain of replays (null where it is the first): effects are keyed by it. An ended job never moves. `stop_at` is when its deadline or its age ends it, `spent_nano_usd` what its attempts that ended have spent.",
        )
        op.create_table_comment(
            "subtask",
            "`tries` counts attempts that ran and were not turned away. `budget` is the group of accounts it draws on; the attempt names the account that was chosen. `place` is when it first became ready. `follows` names who is asked, or was, the same question; `answered_by` whose answer it took over. `capped_by` is the spending cap that holds it parked. `batch_scope` names the vendor and the model by whose batches it may go, until it was gathered into one. `rung` is how far it has climbed its lane's ladder, `tries_below_rung` how many of its tries came before; `asks` is the question to a person on such a rung that holds it parked. A `suspect` was lost together with others and may have killed their worker. `blocked_by` is the missing prerequisite that holds it parked, `kept_from` whose result a replay took over, `subject` what it changes in the world, `built_on` the version of that which it was handed.",
        )
        op.create_table_comment(
            "attempt",
            "One try. At most one request to a vendor, which carries the attempt's id. `rings` counts its doorbells; `rung_at` is when it was rung again, null where it never was. A `suspect` one was granted to a suspect.",
        )
        op.create_table_comment(
            "worker",
            "`heard_at` is when it was last seen to take something from the broker, `canary_at` when it was last given a canary to take, `silent_at` when it was found to take nothing.",
        )
        op.create_table_comment(
            "dead_letter",
            "`normalised` is the sentence without what differs from one failure to the next, `signature` the digest of what makes two failures the same one: category, lane, vendor and that.",
        )
        op.create_table_comment(
            "effect",
            "`replay_class` says whether it may be applied again; `verification` what the world was read to show before that.",
        )


def _hold_open_work_to_the_rules_by_which_it_ends() -> None:
    """What open jobs have spent so far, and when age ends them and their subtasks: no workflow so far declares
    another age than 30 days of a job and 7 of a subtask, and no job has a deadline."""
    spent = (
        "SELECT coalesce(sum(CASE WHEN ambiguous AND reserved_nano_usd > cost_nano_usd THEN reserved_nano_usd "
        "ELSE cost_nano_usd END), 0) FROM attempt WHERE attempt.job_id = job.id AND attempt.ended_at IS NOT NULL"
    )
    op.execute(
        f"UPDATE job SET spent_nano_usd = ({spent}), stop_at = created_at + 2592000 WHERE ended_at IS NULL"
    )
    op.execute("UPDATE subtask SET stop_at = place + 604800 WHERE ended_at IS NULL AND place IS NOT NULL")
