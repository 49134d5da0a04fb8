#!/bin/bash
# A Dask worker that comes back: one that loses its scheduler for a while ends, and nothing but
# what started it can start it again. Kubernetes does that by itself; over SSH this loop does.
#   configs/dask-worker.sh tls://SCHEDULER:8786 --tls-ca-file ca.pem --tls-cert cert.pem --tls-key key.pem
# One process a GPU or a few CPU cores; the second thread reads the next scan meanwhile.
set -uo pipefail

dask=${DASK:-.venv/bin/dask}
trap 'kill "$worker" 2>/dev/null; wait; exit 0' TERM INT

while true; do
    "$dask" worker "$@" --nthreads "${READERS:-2}" --no-dashboard &
    worker=$!
    wait "$worker"
    sleep "${PAUSE:-5}"
done
