#!/usr/bin/env bash
# A sweep as one SLURM job: sbatch clusters/slurm.sh SPEC DIR
#
# The first node plans and keeps the ledger, the others train. The folder DIR, the environment and
# this job's token lie on a file system that all nodes share. A job that ran out of time goes on when
# the same line is submitted again.
#
# EDIT 1/3: the partition and the account that pays, and for how long.
#SBATCH --partition=YOUR_PARTITION
#SBATCH --account=YOUR_ACCOUNT
#SBATCH --time=24:00:00
# EDIT 2/3: workers: how many nodes (one more than workers), and cores and GPUs of each.
#SBATCH --nodes=3
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --job-name=promptsweep
#SBATCH --ntasks-per-node=1
#SBATCH --output=%x-%j.log
#SBATCH --signal=B:TERM@120
# The last line asks for a word two minutes before the end, so that the sweep can stop in order.
set -euo pipefail

SPEC=${1:?"usage: sbatch clusters/slurm.sh SPEC DIR"}
OUT=${2:?"usage: sbatch clusters/slurm.sh SPEC DIR"}

# EDIT 3/3: the environment, made once on a login node: python3.11 -m venv ENV and
# ENV/bin/pip install -c constraints.txt "ray[tune]==2.60.0" . in the repository.
source "${PROMPTSWEEP_ENV:-$HOME/promptsweep-venv}/bin/activate"

# Nobody else on these machines may run code in this job's Ray: it asks for a token of its own.
umask 077
export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN_PATH="$HOME/.promptsweep-token-$SLURM_JOB_ID"
python -c 'import secrets; print(secrets.token_hex(32), end="")' > "$RAY_AUTH_TOKEN_PATH"

# Two jobs may share a node: ports and temporary files by the job's number, and never `ray stop`,
# which would end the other job's Ray too.
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
port=$((20000 + SLURM_JOB_ID % 10000))
temporary="/tmp/promptsweep-$SLURM_JOB_ID"
export RAY_ADDRESS="${nodes[0]}:$port"   # what `--address auto` means in this job
export RAY_USAGE_STATS_ENABLED=0
started=()
sweep_pid= told=

# In a subshell of its own, always: so the number kept in `started` is srun's.
on_node() {
  exec srun --overlap --nodes=1 --ntasks=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" --nodelist="$@"
}

clean_up() {
  trap - EXIT TERM INT
  # `ray start --block` takes what it started with it. Workers first: each says goodbye to the head.
  kill "${started[@]:1}" 2> /dev/null || true
  wait "${started[@]:1}" 2> /dev/null || true
  kill "${started[@]:0:1}" 2> /dev/null || true
  wait "${started[@]:0:1}" 2> /dev/null || true
  timeout 20 srun --overlap --ntasks-per-node=1 rm -rf "$temporary" || true
  rm -f "$RAY_AUTH_TOKEN_PATH"
}
trap clean_up EXIT
trap 'told=1; if [ -n "$sweep_pid" ]; then kill -TERM "$sweep_pid"; else exit 143; fi' TERM INT

on_node "${nodes[0]}" ray start --head --block --port="$port" --temp-dir="$temporary" \
  --num-cpus=0 --num-gpus=0 --dashboard-host=127.0.0.1 --include-dashboard=false &
started+=($!)

until (exec 3<> "/dev/tcp/${nodes[0]}/$port") 2> /dev/null; do
  kill -0 "${started[0]}" || { echo "the head did not start" >&2; exit 1; }
  sleep 1
done

for node in "${nodes[@]:1}"; do
  on_node "$node" ray start --address="$RAY_ADDRESS" --block --temp-dir="$temporary" \
    --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" &
  started+=($!)
done

sweep run "$SPEC" --out "$OUT" --address auto &
sweep_pid=$!
# A signal ends `wait` before the sweep has ended: then wait again.
while true; do
  told= code=0
  wait "$sweep_pid" || code=$?
  [ -n "$told" ] || break
done
exit "$code"
