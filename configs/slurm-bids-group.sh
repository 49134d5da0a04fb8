#!/bin/bash
# The group stage of a cohort, after the array of configs/slurm-bids.sh:
#   sbatch --dependency=afterany:JOB configs/slurm-bids-group.sh BIDS_DIR OUT_DIR [--design YAML]
#SBATCH --job-name=fibromorph-group
#SBATCH --cpus-per-task=2
#SBATCH --mem=8G
#SBATCH --time=02:00:00
#SBATCH --output=slurm-%j.log
set -uo pipefail

exec "${FIBROMORPH:-.venv/bin/fibromorph}" bids "${1:?BIDS_DIR}" "${2:?OUT_DIR}" group "${@:3}"
