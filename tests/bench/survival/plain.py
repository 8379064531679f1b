"""Plain Celery over Redis, as careful users set it up: late acknowledgement, and three ways to go on from there."""

import os
import time
from collections.abc import Mapping
from typing import Any

from celery import Celery
from kombu.entity import Exchange, Queue

from contracts.doorbell import celery_settings
from tests.bench.survival.paces import LEASE_SECONDS
from tests.bench.survival.witness import Did, Witness

URL_VARIABLE, VARIANT_VARIABLE = "BENCH_PLAIN_URL", "BENCH_PLAIN_VARIANT"
QUEUE, APPEND, MEMBER = "tasks", "append", "member"

DEFAULTS, SHORT, TUNED = "Celery, late ack", "Celery, short visibility", "Celery, tuned"


def variants(url: str) -> Mapping[str, dict[str, Any]]:
    """The settings of each, without what all have in common.

    DEFAULTS: late acknowledgement and nothing else, so that Redis gives a message of a dead worker back after an
    hour. SHORT, the usual remedy: given back after as long as our lease, and at once where only a process of the
    pool died; the sweep, every 100 s by default, every second. TUNED: as our own doorbells are set up, where the
    visibility timeout outlasts the longest task, so that none runs twice because it takes long.
    """
    short = {
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "broker_transport_options": {
            "visibility_timeout": LEASE_SECONDS,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
        },
    }
    return {DEFAULTS: {}, SHORT: short, TUNED: celery_settings(url)}


def make_app(variant: str, url: str) -> Celery:
    """An app with both tasks; it connects at its first use."""
    queue = Queue(QUEUE, Exchange(QUEUE, type="direct"), routing_key=QUEUE)
    app = Celery("plain", set_as_current=False)
    app.conf.update(variants(url)[variant])
    app.conf.update(
        broker_url=url,
        result_backend=url,  # a chord counts its members there
        task_acks_late=True,
        broker_connection_retry_on_startup=True,
        task_queues=(queue,),
        task_default_queue=QUEUE,
    )
    app.task(append, name=APPEND, ignore_result=True)
    app.task(member, name=MEMBER, ignore_result=False)
    return app


def append(name: str, seconds: float) -> None:
    """Works for a while and applies one effect."""
    witness = Witness.of_environment()
    with witness.run(name):
        time.sleep(seconds)
        witness.note(name, Did.APPLIED)


def member(name: str, seconds: float) -> None:
    """Works for a while and changes nothing."""
    with Witness.of_environment().run(name):
        time.sleep(seconds)


if VARIANT_VARIABLE in os.environ:  # a worker process
    app = make_app(os.environ[VARIANT_VARIABLE], os.environ[URL_VARIABLE])
