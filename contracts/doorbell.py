"""The doorbell: the one message that travels through the broker, and the settings both Celery apps share.

A doorbell carries an attempt's id and no authority. Losing, doubling or forging one costs latency only.
"""

from typing import Any

LONGEST_ATTEMPT_SECONDS = 600


def queue_of(lane: str) -> str:
    """The Celery queue on which a lane's doorbells ring."""
    return f"lane.{lane}"


CANARY = "fleet.canary"
"""The task that does nothing. Whoever takes it shows that its process takes what the broker has for it."""
FORGOTTEN_SECONDS = 300.0
"""After so long the broker drops the queue of a worker that is no more."""


def queue_of_worker(worker_id: str) -> str:
    """The queue on which one worker process alone is given its canaries."""
    return f"worker.{worker_id}"


def celery_settings(broker_url: str) -> dict[str, Any]:
    """Settings for publishing and consuming doorbells, on Redis and on RabbitMQ.

    The orchestrator is the only authority for retries, delays, order and results, so everything that Celery
    offers for them is left off.
    """
    return {
        "broker_url": broker_url,
        "result_backend": None,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_create_missing_queues": False,
        "task_acks_late": True,
        "task_reject_on_worker_lost": False,
        "task_publish_retry": False,
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_send_task_events": True,
        "task_send_sent_event": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_enable_remote_control": True,
        "worker_max_tasks_per_child": 2000,
        "broker_connection_timeout": 3,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_pool_acquire_timeout": 5,
        "broker_transport_options": _transport_options(broker_url),
    }


def _transport_options(broker_url: str) -> dict[str, Any]:
    if broker_url.startswith("amqp"):
        return {"confirm_publish": True}
    return {
        "visibility_timeout": 2 * LONGEST_ATTEMPT_SECONDS + 300,
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        "socket_timeout": 10,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "health_check_interval": 25,
    }


def queue_options(lane: str, broker_url: str) -> dict[str, Any]:
    """How a lane's queue is declared, in the words of kombu's `Queue.from_dict`.

    A direct queue, so that Celery publishes to it by name through the default exchange and no binding can be
    lost with the broker's memory; a quorum queue where the broker has them.
    """
    return {
        "exchange": queue_of(lane),
        "exchange_type": "direct",
        "routing_key": queue_of(lane),
        "queue_arguments": {"x-queue-type": "quorum"} if broker_url.startswith("amqp") else {},
    }


def worker_queue_options(worker_id: str) -> dict[str, Any]:
    """How a worker's own queue is declared, in the words of kombu's `Queue.from_dict`: a plain one that goes when
    nobody uses it, since a quorum queue would outlive its worker."""
    name = queue_of_worker(worker_id)
    return {
        "exchange": name,
        "exchange_type": "direct",
        "routing_key": name,
        "expires": FORGOTTEN_SECONDS,
    }
