"""A cohort on SLURM through dask-jobqueue: workers come and go with the work that is left.

    pip install -c constraints.txt ".[cluster]"
    python configs/dask-slurm.py --workers 50 BIDS_DIR OUT_DIR [-- more options of fibromorph bids]

Run it where jobs may be submitted from, in a terminal that stays (tmux). Certificates are made for
this run and lie where only you can read them. Stopped and started again, it goes on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from dask_jobqueue import SLURMCluster
from distributed import Security


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bids", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, default=10, help="at most so many jobs")
    parser.add_argument("--cores", type=int, default=4, help="of a job; one scan at a time each")
    parser.add_argument("--memory", default="6GB")
    parser.add_argument("--walltime", default="12:00:00")
    parser.add_argument("--queue")
    parser.add_argument("rest", nargs="*", metavar="-- OPTION")
    options = parser.parse_args()
    certificates = Path.home() / ".fibromorph-tls"
    certificates.mkdir(mode=0o700, exist_ok=True)
    with SLURMCluster(
        queue=options.queue,
        # Two threads of Dask: one computes on all cores of the job, one reads the next scan.
        cores=2,
        job_cpu=options.cores,
        processes=1,
        memory=options.memory,
        walltime=options.walltime,
        security=Security.temporary(),
        shared_temp_directory=certificates,
    ) as cluster:
        cluster.adapt(minimum=1, maximum=options.workers)
        return run(cluster, options, certificates)


def run(cluster: SLURMCluster, options: argparse.Namespace, certificates: Path) -> int:
    """The command line as anyone would type it, with this cluster's address and certificates."""
    security, files = cluster.security, {}
    for name, text in (
        ("ca", security.tls_ca_file),
        ("cert", security.tls_client_cert),
        ("key", security.tls_client_key),
    ):
        files[name] = certificates / f"client-{name}.pem"
        files[name].touch(mode=0o600)
        files[name].write_text(text)
    tls = [word for name, path in files.items() for word in (f"--tls-{name}", str(path))]
    call = ["bids", str(options.bids), str(options.out), "participant", *options.rest]
    address = ["--scheduler", cluster.scheduler_address, "--threads", str(options.cores)]
    return subprocess.call([sys.executable, "-m", "fibromorph.cli", *call, *address, *tls])


if __name__ == "__main__":
    sys.exit(main())
