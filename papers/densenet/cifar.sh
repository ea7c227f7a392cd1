#!/usr/bin/env bash
# DenseNet on CIFAR: 300 epochs in steps of 64 images.
#
#     bash papers/densenet/cifar.sh NETWORK DATA DIR [more options of model-train]
#
# NETWORK is bc-DEPTH-GROWTH (with bottlenecks and compression) or DEPTH-GROWTH. DATA is cifar10,
# cifar10+, cifar100 or cifar100+: + shifts and mirrors images, without it layers drop 20 % of their
# values. DIR holds the binary files of the authors of CIFAR. See README.md.
. "$(dirname "$0")/densenet.sh"
[ $# -ge 3 ] || fail "usage: bash $0 NETWORK cifar10|cifar10+|cifar100|cifar100+ DIR [options]"
name=$1 data=$2 dir=$3
shift 3
case $data in
cifar10 | cifar100) dropout=0.2 augment=() ;;
cifar10+ | cifar100+) dropout=0 augment=(--distort-mode o4 m50) ;;
*) fail "data '$data': give cifar10, cifar10+, cifar100 or cifar100+" ;;
esac
cifar_network "$name" "$dropout"
into "densenet-$name-$data"
# main.lua divides before epochs 150 and 225
train --train "$dir" --extension cifar,train --test "$dir" --test-extension cifar,test \
    ${augment[@]+"${augment[@]}"} --learn-anneal 0.1 --learn-anneal-epochs 149 224 \
    --epochs 300 --batch-size 64 "$@"
