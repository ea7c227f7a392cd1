#!/usr/bin/env bash
# The networks of ccv's ConvNet on ImageNet: 100 epochs in steps of 256 images.
#
#     bash papers/ccv/imagenet.sh NETWORK ILSVRC [more options of model-train]
#
# NETWORK is alex, matt_a, matt_b, matt_c, vgg_a or vgg_d. ILSVRC holds train/<wnid>/*.JPEG and
# val/<wnid>/*.JPEG. See README.md.
. "$(dirname "$0")/ccv.sh"
[ $# -ge 2 ] || fail "usage: bash $0 alex|matt_a|matt_b|matt_c|vgg_a|vgg_d ILSVRC [options]"
name=$1 dir=$2
shift 2

# vgg FILTERS...: set network, 3x3 convolutions with a border, but for the first; / is a pool
vgg() {
    local filters
    network=
    for filters in "$@"; do
        case $filters in
        /) network+=' P[3,2]' ;;
        *) network+="${network:+ B[1]} C[$filters,3] A" ;;
        esac
    done
    network="${network# } F[4096] A D F[4096] A D R.TB"
}

pool='A LRN[5,2,0.0001,0.75,2] P[3,2]'
alex='B[1] C[384,3] A B[1] C[384,3,1,2,1] A B[1] C[256,3,1,2,1] A P[3,2]
    F[4096,1] A D F[4096,1] A D R.TB'
three='B[1] C[512,3] A B[1] C[512,3,1,2] A B[1] C[512,3,1,2] A'
two='B[1] C[512,3] A B[1] C[512,3,1,2] A P[3,2] P.A[3] F[2048] A D F[2048] A D R.TB'
case $name in
alex) network="B[1] C[96,11,4] $pool B[2] C[256,5,1,2,1] $pool $alex" ;;
matt_a) network="B[1] C[96,7,2] $pool B[1] C[256,5,2,2,1] $pool $alex" ;;
matt_b) network="B[1] C[128,7,2] $pool B[1] C[384,5,2,2] $pool $three $two" ;;
matt_c) network="B[1] C[128,7,2] $pool B[1] C[384,3,1,2] $pool $three P[3,2] $two" ;;
vgg_a) vgg 64 / 128 / 256 256 / 512 512 / 512 512 / ;;
vgg_d) vgg 64 64 / 128 128 / 256 256 256 / 512 512 512 / 512 512 512 / ;;
*) fail "network '$name': give alex, matt_a, matt_b, matt_c, vgg_a or vgg_d" ;;
esac
into "ccv-$name"
view=scale=257,crop=225,scale_mode=small
train --train "$dir/train" --test "$dir/val" \
    --extension "imagenet,$view,augment_photo=0.2,augment_color=0.255,color_components=data" \
    --test-extension "imagenet,$view" --normalise mean-image \
    --learn-rate 0.01 --learn-decay 5e-4 --learn-anneal 0.1 --learn-anneal-epochs 30 60 80 \
    --epochs 100 --batch-size 64 --batch-size-factor 4 "$@"
