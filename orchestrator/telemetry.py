"""Figures that a process keeps of itself. What can be derived from the ledger is derived there instead."""

import logging
import sys
from collections.abc import Iterable
from enum import StrEnum

from prometheus_client import REGISTRY, Gauge, Histogram, start_http_server
from prometheus_client import Metric as PrometheusMetric
from prometheus_client.registry import Collector


class Metric(StrEnum):
    """The names of the figures kept here."""

    LEADER = "fleet_orchestrator_leader"
    LOOP_SECONDS = "fleet_loop_seconds"


LEADER = Gauge(Metric.LEADER, "1 while this process leads the loop")
LOOP_SECONDS = Histogram(
    Metric.LOOP_SECONDS,
    "how long each verb of the loop took",
    ["verb"],
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
)


class WhileLeading(Collector):
    """Figures of the ledger, told by the leader alone, so that several orchestrators never tell them twice."""

    def __init__(self, figures: Collector) -> None:
        self._figures = figures

    def collect(self) -> Iterable[PrometheusMetric]:
        return self._figures.collect() if LEADER._value.get() else ()

    def describe(self) -> Iterable[PrometheusMetric]:
        return ()  # asked at registration, when nothing may connect yet


def serve_metrics(port: int) -> None:
    """Serves this process's figures on loopback; raises OSError that names the option where the port is taken."""
    try:
        start_http_server(port, addr="127.0.0.1", registry=REGISTRY)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; choose another", f"--metrics-port {port}") from error


def configure_logging(role: str) -> None:
    """One line an event, on stderr, with the role in front."""
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format=f"%(asctime)s {role} %(levelname)s %(name)s: %(message)s",
    )
