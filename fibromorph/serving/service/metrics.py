"""What Prometheus is told: jobs, stages, queue, engine, memory, disk, refusals."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fibromorph.serving.service.catalogue import Catalogue
from fibromorph.serving.service.cluster import Cluster
from fibromorph.serving.service.ledger import Ending, Job, Jobs
from fibromorph.serving.service.store import Store

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)


class Metrics:
    """The registry of one service.

    Args:
        jobs, cluster, catalogue, store: read when the metrics are asked for.
    """

    def __init__(self, jobs: Jobs, cluster: Cluster, catalogue: Catalogue, store: Store) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_State(jobs, cluster, catalogue, store))
        ProcessCollector(registry=self._registry)
        self._stages = Histogram(
            "fibromorph_stage_seconds",
            "Seconds that a stage of a finished job took",
            ["stage"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._waits = Histogram(
            "fibromorph_wait_seconds",
            "Seconds that a finished job had waited for a worker",
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._refusals = Counter(
            "fibromorph_refusals",
            "Requests that were answered with a problem",
            ["status"],
            registry=self._registry,
        )

    def on_refusal(self, status: int) -> None:
        """Count a request that was answered with a problem."""
        self._refusals.labels(str(status)).inc()

    def on_end(self, job: Job, ending: Ending) -> None:
        """Count a job that ended."""
        for stage, seconds in ending.detail.get("seconds", {}).items():
            self._stages.labels(stage).observe(seconds)
        if job.started_at is not None:
            self._waits.observe(max(0.0, job.started_at - job.created_at))

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class _State(Collector):
    """What the ledger, the scheduler and the catalogue say at this moment."""

    def __init__(self, jobs: Jobs, cluster: Cluster, catalogue: Catalogue, store: Store) -> None:
        self._jobs = jobs
        self._cluster = cluster
        self._catalogue = catalogue
        self._store = store

    def collect(self) -> Iterable[Metric]:
        counts = self._jobs.counts()
        jobs = GaugeMetricFamily(
            "fibromorph_jobs", "Jobs in the ledger", labels=["kind", "state", "reason"]
        )
        for kind, state, reason, count in counts:
            jobs.add_metric([kind, state, reason], count)
        yield jobs
        waiting = sum(count for _, state, _, count in counts if state == "queued")
        yield GaugeMetricFamily("fibromorph_queue_length", "Jobs that wait", waiting)
        yield from self._workers()
        yield self._models()
        room = "Free on the disk of data_dir"
        yield GaugeMetricFamily("fibromorph_disk_free_bytes", room, self._store.free_bytes)

    def _workers(self) -> Iterable[Metric]:
        workers = self._cluster.workers()
        yield GaugeMetricFamily("fibromorph_workers", "Worker processes", len(workers))
        memory = GaugeMetricFamily(
            "fibromorph_worker_memory_bytes", "Resident memory of a worker", labels=["worker"]
        )
        for address, worker in workers.items():
            memory.add_metric([address], worker.get("metrics", {}).get("memory", 0))
        yield memory

    def _models(self) -> Metric:
        models = GaugeMetricFamily(
            "fibromorph_model",
            "Models that can be chosen; 0 if the newest version could not be loaded",
            labels=["name", "version", "sha256"],
        )
        for model in self._catalogue.models:
            labels = [model.name, model.manifest.version, model.manifest.network.sha256]
            models.add_metric(labels, 0 if model.reload_problem else 1)
        return models
