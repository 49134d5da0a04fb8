#!/bin/bash
# A cohort as a job array: no daemon, no database, every task does its shard of the subjects.
#   sbatch --array=1-100 configs/slurm-bids.sh BIDS_DIR OUT_DIR [more options of fibromorph bids]
# Tasks 3 and 7 of these again: SHARDS=100 sbatch --array=3,7 ...
# Submitted again (or requeued), it goes on where it was; shards may run at once or one by one.
# Afterwards: sbatch --dependency=afterany:JOB configs/slurm-bids-group.sh BIDS_DIR OUT_DIR
#SBATCH --job-name=fibromorph
#SBATCH --array=1-10
#SBATCH --cpus-per-task=4
#SBATCH --mem=6G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
#SBATCH --output=slurm-%A_%a.log
set -uo pipefail

bids=${1:?usage: sbatch configs/slurm-bids.sh BIDS_DIR OUT_DIR [options]}
out=${2:?usage: sbatch configs/slurm-bids.sh BIDS_DIR OUT_DIR [options]}
shift 2

# exec: the signal that announces the end of the time limit goes to this process (B:).
exec "${FIBROMORPH:-.venv/bin/fibromorph}" bids "$bids" "$out" participant \
    --shard "$SLURM_ARRAY_TASK_ID/${SHARDS:-$SLURM_ARRAY_TASK_COUNT}" \
    --threads "${SLURM_CPUS_PER_TASK:-1}" "$@"
