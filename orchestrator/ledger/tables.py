"""The tables. Times are seconds since 1970 by the database's own clock; money is whole nano-dollars."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Json = JSON()
"""As text on both databases: the order of keys is kept, and a workflow's steps have one."""
Seq = BigInteger().with_variant(Integer(), "sqlite")
Id = String(26)
Word = String(64)

snapshot = Table(
    "snapshot",
    metadata,
    Column("digest", String(71), primary_key=True),
    Column("body", Json, nullable=False),
    comment="The part of the catalog a job was planned with; the job ends on it.",
)

job = Table(
    "job",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", Word, nullable=False),
    Column("portfolio", Word, nullable=False),
    Column("workflow", Word, nullable=False),
    Column("snapshot", String(71), ForeignKey("snapshot.digest"), nullable=False),
    Column("purpose", Word, nullable=False),
    Column("reason", Text, nullable=False),
    Column("requested_by", String(100), nullable=False),
    Column("kpi", String(100)),
    Column("priority", Integer, nullable=False),
    Column("callback_url", Text),
    Column("max_cost_nano_usd", BigInteger),
    Column("deadline", Double),
    Column("stop_at", Double),
    Column("spent_nano_usd", BigInteger, nullable=False, server_default="0"),
    Column("inputs", Json, nullable=False),
    Column("idempotency_key", String(200)),
    Column("body_digest", String(71)),
    Column("origin", Id, ForeignKey("job.id")),
    Column("replay_id", Id),
    Column("replay_of", Id),
    Column("lineage", Id),
    Column("replaces", Id),
    Column("state", Word, nullable=False),
    Column("why", Text, nullable=False, server_default=""),
    Column("result", Json),
    Column("cancel_requested_by", String(100)),
    Column("created_at", Double, nullable=False),
    Column("ended_at", Double),
    UniqueConstraint("tenant", "idempotency_key"),
    Index(
        "ix_job_open",
        "state",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index(
        "ix_job_replay_id",
        "replay_id",
        sqlite_where=text("replay_id IS NOT NULL"),
        postgresql_where=text("replay_id IS NOT NULL"),
    ),
    Index(
        "ix_job_replay_of",
        "replay_of",
        sqlite_where=text("replay_of IS NOT NULL"),
        postgresql_where=text("replay_of IS NOT NULL"),
    ),
    Index(
        "ix_job_stop_at",
        "stop_at",
        sqlite_where=text("ended_at IS NULL AND stop_at IS NOT NULL"),
        postgresql_where=text("ended_at IS NULL AND stop_at IS NOT NULL"),
    ),
    comment="`origin` links a job to the one it reviews or reopens, `replay_of` to the one it replays, and "
    "`lineage` to the first of a chain of replays (null where it is the first): effects are keyed by it. "
    "`replaces` is the first of a chain whose effects were found wrong, and in whose place this job's stand. "
    "An ended job never moves. `stop_at` is when its deadline or its age ends it, `spent_nano_usd` what its attempts "
    "that ended have spent.",
)

subtask = Table(
    "subtask",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job_id", Id, ForeignKey("job.id"), nullable=False),
    Column("tenant", Word, nullable=False),
    Column("step", Word, nullable=False),
    Column("item", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("name", String(100), nullable=False),
    Column("lane", Word),
    Column("purpose", Word, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("state", Word, nullable=False),
    Column("why", Text, nullable=False, server_default=""),
    Column("vendor", Word),
    Column("handoff", Json),
    Column("summary", Json),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("repairs", Integer, nullable=False, server_default="0"),
    Column("crashes", Integer, nullable=False, server_default="0"),
    Column("rung", Integer, nullable=False, server_default="0"),
    Column("tries_below_rung", Integer, nullable=False, server_default="0"),
    Column("asks", Id),
    Column("suspect", Boolean, nullable=False, server_default="0"),
    Column("blocked_by", Id),
    Column("kept_from", Id),
    Column("subject", String(300)),
    Column("built_on", Integer),
    Column("stop_at", Double),
    Column("not_before", Double),
    Column("budget", String(200)),
    Column("model", String(100)),
    Column("reserve_input_tokens", BigInteger, nullable=False, server_default="0"),
    Column("reserve_output_tokens", BigInteger, nullable=False, server_default="0"),
    Column("most_output_tokens", BigInteger, nullable=False, server_default="0"),
    Column("repeat_key", String(71)),
    Column("repeat_within_seconds", Double, nullable=False, server_default="0"),
    Column("follows", Id),
    Column("answered_by", Id),
    Column("batch_scope", String(200)),
    Column("saved_nano_usd", BigInteger, nullable=False, server_default="0"),
    Column("allowed_seconds", Double, nullable=False, server_default="0"),
    Column("held_by", String(200)),
    Column("capped_by", String(200)),
    Column("worst_nano_usd", BigInteger, nullable=False, server_default="0"),
    Column("dependency_seconds", Double, nullable=False, server_default="0"),
    Column("gate_seconds", Double, nullable=False, server_default="0"),
    Column("human_seconds", Double, nullable=False, server_default="0"),
    Column("created_at", Double, nullable=False),
    Column("ready_at", Double),
    Column("place", Double),
    Column("sealed_at", Double),
    Column("ended_at", Double),
    UniqueConstraint("job_id", "step", "item", "round"),
    Index(
        "ix_subtask_ready",
        "lane",
        "purpose",
        "tenant",
        "budget",
        "priority",
        "place",
        "id",
        sqlite_where=text("state = 'ready'"),
        postgresql_where=text("state = 'ready'"),
    ),
    Index(
        "ix_subtask_repeat_key",
        "repeat_key",
        sqlite_where=text("state = 'ready' AND repeat_key IS NOT NULL"),
        postgresql_where=text("state = 'ready' AND repeat_key IS NOT NULL"),
    ),
    Index(
        "ix_subtask_follows",
        "follows",
        sqlite_where=text("state = 'ready' AND follows IS NOT NULL"),
        postgresql_where=text("state = 'ready' AND follows IS NOT NULL"),
    ),
    Index(
        "ix_subtask_batch_scope",
        "batch_scope",
        sqlite_where=text("state = 'ready' AND batch_scope IS NOT NULL"),
        postgresql_where=text("state = 'ready' AND batch_scope IS NOT NULL"),
    ),
    Index(
        "ix_subtask_answered_by",
        "job_id",
        sqlite_where=text("answered_by IS NOT NULL"),
        postgresql_where=text("answered_by IS NOT NULL"),
    ),
    Index(
        "ix_subtask_open",
        "state",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index(
        "ix_subtask_capped_by",
        "capped_by",
        "worst_nano_usd",
        sqlite_where=text("capped_by IS NOT NULL AND ended_at IS NULL"),
        postgresql_where=text("capped_by IS NOT NULL AND ended_at IS NULL"),
    ),
    Index(
        "ix_subtask_blocked_by",
        "blocked_by",
        sqlite_where=text("blocked_by IS NOT NULL AND ended_at IS NULL"),
        postgresql_where=text("blocked_by IS NOT NULL AND ended_at IS NULL"),
    ),
    Index(
        "ix_subtask_kept_from",
        "kept_from",
        sqlite_where=text("kept_from IS NOT NULL"),
        postgresql_where=text("kept_from IS NOT NULL"),
    ),
    Index(
        "ix_subtask_stop_at",
        "stop_at",
        sqlite_where=text("ended_at IS NULL AND stop_at IS NOT NULL"),
        postgresql_where=text("ended_at IS NULL AND stop_at IS NOT NULL"),
    ),
    Index(
        "ix_subtask_subject",
        "subject",
        sqlite_where=text("subject IS NOT NULL AND ended_at IS NULL"),
        postgresql_where=text("subject IS NOT NULL AND ended_at IS NULL"),
    ),
    comment="`tries` counts attempts that ran and were not turned away. `budget` is the group of accounts "
    "it draws on; the attempt names the account that was chosen. `place` is when it first became ready. "
    "`follows` names who is asked, or was, the same question; `answered_by` whose answer it took over. "
    "`capped_by` is the spending cap that holds it parked. `batch_scope` names the vendor and the model "
    "by whose batches it may go, until it was gathered into one. `rung` is how far it has climbed its lane's "
    "ladder, `tries_below_rung` how many of its tries came before; `asks` is the question to a person on such a "
    "rung that holds it parked. A `suspect` was lost together with others and may have killed their worker. "
    "`blocked_by` is the missing prerequisite that holds it parked, `kept_from` whose result a replay took over, "
    "`subject` what it changes in the world, `built_on` the version of that which it was handed.",
)

vendor_batch = Table(
    "vendor_batch",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job_id", Id, ForeignKey("job.id"), nullable=False, unique=True),
    Column("vendor", Word, nullable=False),
    Column("account", Word, nullable=False),
    Column("model", String(100), nullable=False),
    Column("requests", Integer, nullable=False),
    Column("state", Word, nullable=False),
    Column("why", Text, nullable=False, server_default=""),
    Column("name", String(200)),
    Column("gathered_at", Double, nullable=False),
    Column("begun_at", Double),
    Column("expires_at", Double),
    Column("ended_at", Double),
    Index("ix_vendor_batch_vendor_model_ended_at", "vendor", "model", "ended_at"),
    Index(
        "ix_vendor_batch_open",
        "state",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    comment="Requests that wait together for a vendor's answers. `job_id` is the job that carries them, `name` what "
    "the vendor calls it, `begun_at` the intent before it is handed in.",
)

attempt = Table(
    "attempt",
    metadata,
    Column("id", Id, primary_key=True),
    Column("subtask_id", Id, ForeignKey("subtask.id"), nullable=False),
    Column("job_id", Id, ForeignKey("job.id"), nullable=False),
    Column("lane", Word, nullable=False),
    Column("purpose", Word, nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", Word, nullable=False),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("worker", String(200)),
    Column("claim_token", Id),
    Column("budget", String(200)),
    Column("vendor_batch_id", Id, ForeignKey("vendor_batch.id")),
    Column("estimated_input_tokens", BigInteger, nullable=False, server_default="0"),
    Column("reserved_input_tokens", BigInteger, nullable=False, server_default="0"),
    Column("reserved_output_tokens", BigInteger, nullable=False, server_default="0"),
    Column("promised_output_tokens", BigInteger, nullable=False, server_default="0"),
    Column("reserved_nano_usd", BigInteger, nullable=False, server_default="0"),
    Column("granted_at", Double, nullable=False),
    Column("start_by", Double, nullable=False),
    Column("rings", Integer, nullable=False, server_default="1"),
    Column("rung_at", Double),
    Column("suspect", Boolean, nullable=False, server_default="0"),
    Column("allowed_seconds", Double, nullable=False),
    Column("claimed_at", Double),
    Column("lease_until", Double),
    Column("deadline_at", Double),
    Column("reported_at", Double),
    Column("ended_at", Double),
    Column("backoff_seconds", Double, nullable=False, server_default="0"),
    Column("budget_seconds", Double, nullable=False, server_default="0"),
    Column("queue_seconds", Double, nullable=False, server_default="0"),
    Column("report", Json),
    Column("worker_seconds", Double, nullable=False, server_default="0"),
    Column("vendor", Word),
    Column("model", String(100)),
    Column("simulated", Boolean),
    Column("sent", Boolean),
    Column("input_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cached_input_tokens", BigInteger, nullable=False, server_default="0"),
    Column("output_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cost_nano_usd", BigInteger, nullable=False, server_default="0"),
    Column("ambiguous", Boolean),
    Column("category", Word),
    Column("code", Word),
    Index("ix_attempt_subtask_id", "subtask_id"),
    Index("ix_attempt_job_id", "job_id"),
    Index(
        "ix_attempt_vendor_batch_id",
        "vendor_batch_id",
        sqlite_where=text("vendor_batch_id IS NOT NULL"),
        postgresql_where=text("vendor_batch_id IS NOT NULL"),
    ),
    Index(
        "ix_attempt_lost",
        "worker",
        "ended_at",
        sqlite_where=text("state = 'lost'"),
        postgresql_where=text("state = 'lost'"),
    ),
    Index(
        "ix_attempt_open",
        "state",
        "reported_at",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    comment="One try. At most one request to a vendor, which carries the attempt's id. `rings` counts its doorbells; "
    "`rung_at` is when it was rung again, null where it never was. A `suspect` one was granted to a suspect.",
)

doorbell = Table(
    "doorbell",
    metadata,
    Column("seq", Seq, primary_key=True, autoincrement=True),
    Column("attempt_id", Id, ForeignKey("attempt.id"), nullable=False, unique=True),
    Column("lane", Word, nullable=False),
    Column("label", String(200), nullable=False),
    Column("created_at", Double, nullable=False),
    comment="What the relay still has to publish; a row is deleted once the broker took it.",
)

event = Table(
    "event",
    metadata,
    Column("seq", Seq, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("kind", Word, nullable=False),
    Column("job_id", Id, index=True),
    Column("subtask_id", Id),
    Column("attempt_id", Id),
    Column("actor", String(200), nullable=False),
    Column("old", Word),
    Column("new", Word),
    Column("sentence", Text, nullable=False, server_default=""),
    comment="Every move and every decision, in the transaction that made it.",
)

artifact = Table(
    "artifact",
    metadata,
    Column("digest", String(71), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("media_type", String(100), nullable=False),
    Column("created_at", Double, nullable=False),
)

budget = Table(
    "budget",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("vendor", Word, nullable=False),
    Column("account", Word, nullable=False),
    Column("group", Word, nullable=False),
    Column("charging", Json, nullable=False),
    Column("concurrency", Integer, nullable=False),
    Column("refilled_at", Double, nullable=False),
    Column("closed_until", Double),
    Column("closed_why", Text, nullable=False, server_default=""),
    Column("memory", Json),
    Column("heard_at", Double),
    comment="What an account allows one group of models; its dimensions stand in budget_level.",
)

budget_level = Table(
    "budget_level",
    metadata,
    Column("key", String(200), ForeignKey("budget.key"), primary_key=True),
    Column("dimension", Word, primary_key=True),
    Column("declared_limit", Double, nullable=False),
    Column("limit", Double, nullable=False),
    Column("declared_burst_seconds", Double, nullable=False),
    Column("burst_seconds", Double, nullable=False),
    Column("level", Double, nullable=False),
    Column("seen_limit", Double),
    Column("seen_remaining", Double),
    Column("seen_at", Double),
    CheckConstraint('declared_limit > 0 AND "limit" > 0 AND burst_seconds > 0', name="above_zero"),
    comment="One dimension of a budget. `declared` is what the catalog or an operator says, the rest is learned. "
    "Levels are as of the budget's `refilled_at` and refill by the database's clock.",
)

calibration = Table(
    "calibration",
    metadata,
    Column("model", String(100), primary_key=True),
    Column("lane", Word, primary_key=True),
    Column("samples", Integer, nullable=False),
    Column("input_factor", Double, nullable=False),
    Column("charged_factor", Double, nullable=False),
    Column("output_mean", Double, nullable=False),
    Column("recent_outputs", Json, nullable=False),
    comment="What the attempts of a lane with a model really took, against what was estimated.",
)

share = Table(
    "share",
    metadata,
    Column("kind", Word, primary_key=True),
    Column("name", Word, primary_key=True),
    Column("value", Double, nullable=False),
    comment="Floors by purpose and by lane, weights by tenant, as operators set them; they outrank the defaults.",
)

spending_cap = Table(
    "spending_cap",
    metadata,
    Column("scope", Word, primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("period", Word, primary_key=True),
    Column("limit_nano_usd", BigInteger, nullable=False),
    CheckConstraint("limit_nano_usd >= 0", name="not_negative"),
    comment="Money that a tenant, a lane, a purpose or the fleet may spend in a period.",
)

spending = Table(
    "spending",
    metadata,
    Column("scope", Word, primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("period", String(10), primary_key=True),
    Column("nano_usd", BigInteger, nullable=False),
    comment="Running totals of what attempts that ended have spent, by day in UTC and in all, so that a cap needs "
    "no history; of jobs, while they have a cap. A call of unknown end counts at its worst case.",
)

setting_change = Table(
    "setting_change",
    metadata,
    Column("seq", Seq, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("actor", String(100), nullable=False),
    Column("what", String(300), nullable=False),
    Column("old", Text, nullable=False),
    Column("new", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("until", Double),
    comment="What operators and upkeep changed while the fleet ran. `until` is when a pause was to end by itself.",
)

answer_cache = Table(
    "answer_cache",
    metadata,
    Column("key", String(71), primary_key=True),
    Column("subtask_id", Id, ForeignKey("subtask.id"), nullable=False),
    comment="Who answers, or has answered, this very question; others with the same key follow it.",
)

effect = Table(
    "effect",
    metadata,
    Column("key", String(71), primary_key=True),
    Column("subtask_id", Id, ForeignKey("subtask.id"), nullable=False),
    Column("attempt_id", Id, ForeignKey("attempt.id"), nullable=False),
    Column("target", String(200), nullable=False),
    Column("intent", Json, nullable=False),
    Column("intended_at", Double, nullable=False),
    Column("result", Json),
    Column("applied_at", Double),
    Column("replay_class", Word, nullable=False, server_default="idempotent"),
    Column("verified_at", Double),
    Column("verification", Text, nullable=False, server_default=""),
    Column("called_at", Double),
    Column("settled_by", String(100)),
    Index("ix_effect_subtask_id", "subtask_id"),
    Index(
        "ix_effect_begun",
        "key",
        sqlite_where=text("applied_at IS NULL"),
        postgresql_where=text("applied_at IS NULL"),
    ),
    comment="`replay_class` says whether it may be applied again; `verification` what the world was read to show "
    "before that. `called_at` is when a person was called, since it ended before anybody knew whether it was "
    "applied; `settled_by` who looked then and found that it was.",
)

approval = Table(
    "approval",
    metadata,
    Column("id", Id, primary_key=True),
    Column("subtask_id", Id, ForeignKey("subtask.id"), nullable=False, unique=True),
    Column("job_id", Id, ForeignKey("job.id"), nullable=False),
    Column("tenant", Word, nullable=False),
    Column("requested_by", String(100), nullable=False),
    Column("digest", String(71), nullable=False),
    Column("packet", Json, nullable=False),
    Column("state", Word, nullable=False),
    Column("asked_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("answered_at", Double),
    Column("answered_by", String(100)),
    Column("answered_digest", String(71)),
    Column("comment", Text, nullable=False, server_default=""),
    CheckConstraint("answered_by IS NULL OR answered_by <> requested_by", name="not_the_requester"),
    CheckConstraint(
        "state <> 'approved' OR (answered_by IS NOT NULL AND answered_digest IS NOT NULL "
        "AND answered_digest = digest)",
        name="of_this_digest",
    ),
    Index("ix_approval_state", "state"),
    comment="A question to a person, bound to the digest of what is approved.",
)

gate_event = Table(
    "gate_event",
    metadata,
    Column("seq", Seq, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("gate", Word, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("attempted", Text, nullable=False),
    Column("result", Word, nullable=False),
    Column("reason", Text, nullable=False),
    Column("job_id", Id),
    Column("subtask_id", Id),
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("subtask_id", Id, ForeignKey("subtask.id"), primary_key=True),
    Column("job_id", Id, ForeignKey("job.id"), nullable=False),
    Column("tenant", Word, nullable=False),
    Column("lane", Word),
    Column("category", Word, nullable=False),
    Column("code", Word, nullable=False),
    Column("vendor", Word),
    Column("sentence", Text, nullable=False),
    Column("normalised", Text, nullable=False, server_default=""),
    Column("signature", String(71), nullable=False, server_default=""),
    Column("at", Double, nullable=False),
    Column("discarded_at", Double),
    Column("discarded_by", String(100)),
    Column("discarded_why", Text),
    Index("ix_dead_letter_at", "at"),
    Index("ix_dead_letter_signature", "signature", "at"),
    comment="`normalised` is the sentence without what differs from one failure to the next, `signature` the digest "
    "of what makes two failures the same one: category, lane, vendor and that.",
)

replay = Table(
    "replay",
    metadata,
    Column("id", Id, primary_key=True),
    Column("requested_by", String(100), nullable=False),
    Column("reason", Text, nullable=False),
    Column("approved_by", String(100)),
    Column("selection", Json, nullable=False),
    Column("edit", Json),
    Column("from_step", Word),
    Column("per_minute", Double),
    Column("most_open", Integer, nullable=False),
    Column("state", Word, nullable=False),
    Column("why", Text, nullable=False, server_default=""),
    Column("total", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("ended_at", Double),
    Index(
        "ix_replay_open",
        "state",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    comment="A governed re-run: what was selected, by whom and why. Its selection is frozen in replay_item.",
)

replay_item = Table(
    "replay_item",
    metadata,
    Column("replay_id", Id, ForeignKey("replay.id"), primary_key=True),
    Column("job_id", Id, ForeignKey("job.id"), primary_key=True),
    Column("chain", Id),
    Column("subtask_id", Id),
    Column("state", Word, nullable=False),
    Column("why", Text, nullable=False, server_default=""),
    Column("new_job_id", Id, ForeignKey("job.id")),
    Column("released_at", Double),
    Index("ix_replay_item_state", "replay_id", "state", "job_id"),
    Index(
        "ix_replay_item_open",
        "job_id",
        unique=True,
        sqlite_where=text("state IN ('waiting', 'released')"),
        postgresql_where=text("state IN ('waiting', 'released')"),
    ),
    Index(
        "ix_replay_item_chain",
        "chain",
        unique=True,
        sqlite_where=text("state IN ('waiting', 'released')"),
        postgresql_where=text("state IN ('waiting', 'released')"),
    ),
    Index(
        "ix_replay_item_released_at",
        "replay_id",
        "released_at",
        sqlite_where=text("released_at IS NOT NULL"),
        postgresql_where=text("released_at IS NOT NULL"),
    ),
    Index(
        "ix_replay_item_new_job_id",
        "new_job_id",
        sqlite_where=text("new_job_id IS NOT NULL"),
        postgresql_where=text("new_job_id IS NOT NULL"),
    ),
    comment="One job of a replay: `waiting` until it is released as `new_job_id`, then `released`, and `done` or "
    "`failed` as that one ends; `refused` or `aborted` where it never was. `chain` is the first job of the chain of "
    "replays that the job stands in.",
)

pause = Table(
    "pause",
    metadata,
    Column("scope", Word, primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("kills", Boolean, nullable=False, server_default="0"),
    Column("by", String(100), nullable=False),
    Column("why", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("until", Double),
    comment="While a row stands and `until` has not passed, nothing of its scope is granted or claimed; where it "
    "`kills`, what runs is stopped as well.",
)

blocker = Table(
    "blocker",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", Word, nullable=False),
    Column("prerequisite", String(100), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("job_id", Id, ForeignKey("job.id"), nullable=False),
    Column("supply_job_id", Id, ForeignKey("job.id")),
    Column("opened_at", Double, nullable=False),
    Column("resolved_at", Double),
    Column("resolution", Text, nullable=False, server_default=""),
    Index(
        "ix_blocker_open",
        "tenant",
        "prerequisite",
        "subject",
        unique=True,
        sqlite_where=text("resolved_at IS NULL"),
        postgresql_where=text("resolved_at IS NULL"),
    ),
    comment="A missing prerequisite: one row however many subtasks wait for it.",
)

supply = Table(
    "supply",
    metadata,
    Column("subtask_id", Id, ForeignKey("subtask.id"), primary_key=True),
    Column("supplied_by", Id, ForeignKey("subtask.id"), primary_key=True),
    Column("job_id", Id, ForeignKey("job.id"), nullable=False, index=True),
    Index("ix_supply_supplied_by", "supplied_by"),
    comment="What had lacked something, and the subtask of another job whose result it was handed for that.",
)

taint = Table(
    "taint",
    metadata,
    Column("subtask_id", Id, ForeignKey("subtask.id"), primary_key=True),
    Column("cause", Id, ForeignKey("subtask.id"), primary_key=True),
    Column("job_id", Id, ForeignKey("job.id"), nullable=False, index=True),
    Column("by", String(100), nullable=False),
    Column("why", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("spreading_since", Double),
    Index("ix_taint_cause", "cause"),
    Index(
        "ix_taint_spreading",
        "spreading_since",
        sqlite_where=text("spreading_since IS NOT NULL"),
        postgresql_where=text("spreading_since IS NOT NULL"),
    ),
    comment="A result that was found wrong (`cause` is itself), or that was built on one. `spreading_since` is set "
    "at the former until everything that was built on it before the mark is marked.",
)

subject = Table(
    "subject",
    metadata,
    Column("name", String(300), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("changed_at", Double, nullable=False),
    Column("changed_by", Id),
    comment="What effects change. A target counts its changes; a part of it has the count at its own last change, so "
    "that both are compared with the count that a handoff was built on.",
)

leader = Table(
    "leader",
    metadata,
    Column("name", Word, primary_key=True),
    Column("holder", String(200), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("lease_until", Double, nullable=False),
)

worker = Table(
    "worker",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("lanes", Json, nullable=False),
    Column("handlers", Json, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("simulates", Json, nullable=False, server_default="[]"),
    Column("reads_limits", Json, nullable=False, server_default="[]"),
    Column("version", Word, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("beat_at", Double, nullable=False),
    Column("busy", Integer, nullable=False, server_default="0"),
    Column("heard_at", Double),
    Column("canary_at", Double),
    Column("silent_at", Double),
    Column("stopped_at", Double),
    comment="`heard_at` is when it was last seen to take something from the broker, `canary_at` when it was last "
    "given a canary to take, `silent_at` when it was found to take nothing.",
)

compatibility = Table(
    "compatibility",
    metadata,
    Column("oldest_code", Word, primary_key=True),
    comment="One row: the version of the oldest code that may still work on this ledger.",
)

tick = Table(
    "tick",
    metadata,
    Column("name", Word, primary_key=True),
    Column("slot", Double, primary_key=True),
    Column("seen_at", Double, nullable=False),
    Column("looked_at", Double),
    Column("outcome", Text, nullable=False, server_default=""),
    Column("job_id", Id, ForeignKey("job.id")),
    comment="One firing of the clock. `job_id` is null where there was nothing to do.",
)

escalation = Table(
    "escalation",
    metadata,
    Column("id", Id, primary_key=True),
    Column("route", Word, nullable=False),
    Column("drill", Boolean, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("job_id", Id),
    Column("subject", String(200)),
    Column("opened_at", Double, nullable=False),
    Column("told_at", Double),
    Column("acknowledged_at", Double),
    Column("acknowledged_by", String(100)),
    comment="`subject` names what one call at a time is made about, until somebody takes note of it.",
)

webhook = Table(
    "webhook",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job_id", Id, ForeignKey("job.id"), nullable=False, unique=True),
    Column("tenant", Word, nullable=False),
    Column("url", Text, nullable=False),
    Column("body", Json, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("next_at", Double, nullable=False),
    Column("delivered_at", Double),
    Column("gave_up_at", Double),
    Column("last_error", Text, nullable=False, server_default=""),
)

tenant = Table(
    "tenant",
    metadata,
    Column("name", Word, primary_key=True),
    Column("webhook_secret", String(100), nullable=False),
)
