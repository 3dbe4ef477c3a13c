#!/usr/bin/env bash
# tools/launch/slurm.sh - training under Slurm: sbatch tools/launch/slurm.sh CONFIG RUN [more options of emer train]
# One task is one rank. Two minutes before the limit the ranks save and end with 5, and the job queues up again; so it does,
# three times at most, when a rank or a node was lost (4). What to change for a cluster: docs/clusters.md.
#SBATCH --job-name=emer
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -u
if (($# < 2)); then
  echo "usage: sbatch tools/launch/slurm.sh CONFIG RUN [options of emer train]" >&2
  exit 2
fi
config=$1 run=$2
shift 2
export EMER_THREADS=${EMER_THREADS:-${SLURM_CPUS_PER_TASK:-1}}

# Ranks on GPUs meet over TCP and need no MPI; on the CPU the arrays travel over Open MPI.
if [[ -n ${SLURM_JOB_GPUS:-}${SLURM_GPUS_ON_NODE:-} ]]; then mpi=none; else mpi=pmix; fi

# --kill-on-bad-exit=0: the ranks themselves end when one is lost, and say which; --wait is for what they cannot see.
srun --mpi="${EMER_SRUN_MPI:-$mpi}" --kill-on-bad-exit=0 --wait=120 \
  "${EMER:-emer}" train "$config" --run "$run" --resume auto "$@"
code=$?

if ((code == 5)) || ((code == 4 && ${SLURM_RESTART_COUNT:-0} < 3)); then
  echo "emer ended with $code: back into the queue"
  scontrol requeue "$SLURM_JOB_ID" && exit 0
fi
exit "$code"
