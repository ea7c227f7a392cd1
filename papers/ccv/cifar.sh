#!/usr/bin/env bash
# The small network of ccv's ConvNet on CIFAR-10: steps of 128 images.
#
#     bash papers/ccv/cifar.sh DIR [more options of model-train]
#
# DIR holds the binary files of the authors of CIFAR. See README.md.
. "$(dirname "$0")/ccv.sh"
[ $# -ge 1 ] || fail "usage: bash $0 DIR [options of model-train]"
dir=$1
shift
network='CM[31,0.5] B[2] C[32,5] A LRN[3,1,0.0001,0.75] P[3,2] B[2] C[32,5] A LRN[3,1,0.0001,0.75]
    P.A[3,2] B[2] C[64,5] A P.A[3,2] R.TB'
into ccv-cifar
train --train "$dir" --extension cifar,train --test "$dir" --test-extension cifar,test \
    --normalise mean-image --learn-rate 0.001 --learn-decay 0.005 --layer-decays class-conv=2 \
    --epochs 999 --batch-size 128 "$@"
