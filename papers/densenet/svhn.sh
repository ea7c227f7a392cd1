#!/usr/bin/env bash
# DenseNet on the house numbers of SVHN: 40 epochs in steps of 64 images.
#
#     bash papers/densenet/svhn.sh NETWORK DIR [more options of model-train]
#
# NETWORK is as in cifar.sh, DIR holds {train,extra,test}_32x32.mat: 604,388 images to train, of which
# 6000 choose the best model.
. "$(dirname "$0")/densenet.sh"
[ $# -ge 2 ] || fail "usage: bash $0 NETWORK DIR [options of model-train]"
name=$1 dir=$2
shift 2
cifar_network "$name" 0.2
into "densenet-$name-svhn"
train --train "$dir" --extension svhn,train,extra --test "$dir" --test-extension svhn,test \
    --val-split 0.009927 --normalise none --learn-anneal 0.1 --learn-anneal-epochs 20 30 \
    --epochs 40 --batch-size 64 "$@"
