#!/bin/bash
# Training on several nodes: Lightning reads the rest from SLURM's environment.
#   sbatch configs/slurm-train.sh LABEL_MAPS [more options of fibromorph train]
# Another configuration: CONFIG=configs/finetune.yaml sbatch ...
# Submitted again (or requeued), it goes on from the last checkpoint in the configuration's folder.
#SBATCH --job-name=fibromorph-train
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --mem=0
#SBATCH --time=04:00:00
#SBATCH --output=slurm-%j.log
set -euo pipefail

label_maps=${1:?usage: sbatch configs/slurm-train.sh LABEL_MAPS [options]}
shift
config=${CONFIG:-configs/train-open.yaml}

# Only the first process logs: a file will do, a server is seen by everyone.
export MLFLOW_TRACKING_URI=${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}

# ntasks-per-node has to be the same as trainer.devices.
srun "${FIBROMORPH:-.venv/bin/fibromorph}" train \
    --config "$config" \
    --ckpt_path last \
    --data.label_maps "$label_maps" \
    --trainer.accelerator gpu \
    --trainer.num_nodes "$SLURM_JOB_NUM_NODES" \
    --trainer.devices "$SLURM_NTASKS_PER_NODE" \
    --trainer.strategy ddp \
    --trainer.max_time 00:03:45:00 \
    "$@"
