#!/usr/bin/env bash
# The CIFAR-10 example of DeNet 2017: a plain network of ten convolutions, 90 epochs.
#
#     bash examples/simple-cifar10.sh CIFAR10 OUTPUT [more options of model-train]
#
# CIFAR10 holds train/<class>/*.png and test/<class>/*.png; for JPEG files add --extension jpg.
set -euo pipefail
case ${1:-} in -*) sed -n '2,$s/^# \{0,1\}//p' "$0"; exit ;; esac
data=${1:?usage: bash examples/simple-cifar10.sh CIFAR10 OUTPUT [options]}
output=${2:?usage: bash examples/simple-cifar10.sh CIFAR10 OUTPUT [options]}
shift 2

"$(dirname "$0")/../bin/model-train" --seed 0 --border-mode same --activation relu \
    --model-desc 'B[3] C[128,3] BN A C[96,2] BN A C[64,1] BN A P.A[2] D[0.2]
                  C[256,3] BN A C[192,2] BN A C[128,1] BN A P.A[2] D[0.2]
                  C[512,3] BN A C[384,2] BN A C[256,1] BN A D[0.2] R.C[6]' \
    --train "$data/train" --test "$data/test" --extension png --augment-mirror --distort-mode o4 \
    --solver sgd --learn-rate 0.1 --learn-momentum 0.9 --learn-decay 5e-4 \
    --learn-anneal 0.5 --learn-anneal-epochs 15 30 45 60 75 \
    --epochs 90 --batch-size 32 --thread-num 2 --output-prefix "$output/simple" "$@"
