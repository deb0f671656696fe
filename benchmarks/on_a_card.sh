#!/usr/bin/env bash
# Run what needs a GPU, in four parts of ten minutes at most: benchmarks/on_a_card.sh tests|checks|table|images
# What was found stands in benchmarks/speed_results/<part>.json, as it comes (--output=<folder> for another place).
# LIT_GEN_CARD=cpu runs a tiny form of each part without a GPU, to try the script.
set -euo pipefail
cd "$(dirname "$0")/.."
export CUBLAS_WORKSPACE_CONFIG=:4096:8 # with which the GPU's matrix products are the same each time
exec timeout --kill-after=10 600 "${PYTHON:-python}" -m benchmarks.on_a_card "$@"
