"""Which workers a run is to use: as flags say it, or a `cluster:` profile of a YAML file."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """Which workers to use.

    workers: local processes, None = one per CPU, 0 = a thread of this process.
    gpus: "all" or device numbers, "0,1": one process each, instead of CPU workers.
    scheduler: an address or a scheduler file of a cluster that runs already.
    memory_bytes: most a CPU worker may allocate, None = its share of the machine, 0 = no limit.
    """

    workers: int | None = None
    gpus: str = ""
    scheduler: str = ""
    memory_bytes: int | None = None
    dashboard: bool = False
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
