#!/usr/bin/env bash
# tools/launch/mpirun.sh HOSTFILE train CONFIG --run RUN … - ranks on the hosts of a hostfile, over ssh.
# emer, the data and the run folder must be at the same paths everywhere. SIGTERM, SIGINT and SIGUSR1 save and end with 5.
set -u
if (($# < 2)); then
  echo "usage: tools/launch/mpirun.sh HOSTFILE train|evaluate …" >&2
  exit 2
fi
hostfile=$1
shift
# Ranks use several threads, so they are not bound to one core each; ${EMER_THREADS} is what each of them takes.
# mpirun answers SIGTERM by killing its ranks after a second, but passes SIGUSR1 on.
mpirun --quiet --hostfile "$hostfile" --bind-to none -x EMER_THREADS="${EMER_THREADS:-1}" \
  ${EMER_MPIRUN_OPTIONS:-} "${EMER:-emer}" "$@" &
pid=$!
trap 'kill -USR1 "$pid"' TERM INT USR1
# A trap interrupts the wait, not mpirun.
while true; do
  wait "$pid"
  code=$?
  kill -0 "$pid" 2>/dev/null || exit "$code"
done
