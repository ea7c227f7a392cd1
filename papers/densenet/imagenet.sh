#!/usr/bin/env bash
# DenseNet on ImageNet: 90 epochs in steps of 256 images, 64 of them at a time as on each of 4 GPUs.
#
#     bash papers/densenet/imagenet.sh NETWORK ILSVRC [more options of model-train]
#
# NETWORK is 121, 169, 201, 161, 264, or of the report on memory 232-k48, 264-k32-cosine,
# 264-k48-cosine. ILSVRC holds train/<wnid>/*.JPEG and val/<wnid>/*.JPEG. See README.md.
. "$(dirname "$0")/densenet.sh"
[ $# -ge 2 ] || fail "usage: bash $0 NETWORK ILSVRC [options of model-train]"
name=$1 dir=$2
shift 2
growth=32 rate=(--learn-anneal 0.1 --learn-anneal-epochs 30 60)
case $name in
121) blocks=(6 12 24 16) ;;
169) blocks=(6 12 32 32) ;;
201) blocks=(6 12 48 32) ;;
161) blocks=(6 12 36 24) growth=48 ;;
264) blocks=(6 12 64 48) ;;
232-k48) blocks=(6 12 48 48) growth=48 ;;
264-k32-cosine) blocks=(6 12 64 48) rate=(--learn-cosine) ;;
264-k48-cosine) blocks=(6 12 64 48) growth=48 rate=(--learn-cosine) ;;
*) fail "network '$name': give 121, 169, 201, 161, 264, 232-k48, 264-k32-cosine or 264-k48-cosine" ;;
esac
network="C.B[$((2 * growth)),7,2] BN A P[3,2,1]"
for count in "${blocks[@]}"; do
    network+=" nDL[$count,$growth] TR"
done
network="${network% TR} BN A P.A R.TB"
into "densenet-$name"
view=scale=256,crop=224,scale_mode=small
train --train "$dir/train" --test "$dir/val" \
    --extension "imagenet,$view,crop_mode=lenet,augment_photo,augment_color" \
    --test-extension "imagenet,$view" "${rate[@]}" \
    --epochs 90 --batch-size 64 --batch-size-factor 4 "$@"
