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
if [[ ! -r $hostfile ]]; then
  echo "tools/launch/mpirun.sh: cannot read the hostfile $hostfile" >&2  # which mpirun --quiet would not say
  exit 3
fi
# What comes before the ranks have started is lost, or ends them: hence again and again, and 138 below.
pid='' asked=''
ask() {
  asked=1
  if [[ -n $pid ]]; then (while kill -USR1 "$pid" 2>/dev/null; do sleep 1; done) >/dev/null 2>&1 & fi
}
trap ask TERM INT USR1
# Ranks use several threads, so they are not bound to one core each; ${EMER_THREADS} is what each of them takes.
# mpirun answers SIGTERM by killing its ranks after a second, but passes SIGUSR1 on.
mpirun --quiet --hostfile "$hostfile" --bind-to none -x EMER_THREADS="${EMER_THREADS:-1}" \
  ${EMER_MPIRUN_OPTIONS:-} "${EMER:-emer}" "$@" &
pid=$!
if [[ -n $asked ]]; then ask; fi
# A trap interrupts the wait, not mpirun.
while true; do
  wait "$pid"
  code=$?
  kill -0 "$pid" 2>/dev/null || break
done
if [[ -n $asked ]] && ((code == 138)); then
  echo "emer: error: stopped by a signal before there was anything to save; start it again" >&2
  code=5
fi
exit "$code"
