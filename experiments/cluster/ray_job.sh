#!/bin/bash
# Evaluates on all workers of a Ray cluster, as a job of it:
#
#   RAY_ADDRESS=http://HEAD:8265 experiments/cluster/ray_job.sh --run_dir=R --attacks=autoattack --eps=8 --output=OUT
#
# All machines have the package installed and see R and D at these paths. The
# job runs on the head, and hands the parts to the workers.
set -euo pipefail

: "${RAY_ADDRESS:?Say where the dashboard of the head is: http://HEAD:8265}"
exec ray job submit --address="$RAY_ADDRESS" -- \
  python -m tfgan_robust.evaluate --cluster=ray "$@"
