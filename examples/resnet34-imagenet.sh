#!/usr/bin/env bash
# The ImageNet example of DeNet 2017: ResNet-34 (arXiv 1512.03385), 90 epochs in steps of 128 images.
# Its two GPUs took 64 each; its factor of 2 was two such steps, not one of 256 (--batch-size-factor 4
# here). Its model is what the detectors of papers/ start from.
#
#     bash examples/resnet34-imagenet.sh ILSVRC OUTPUT [more options of model-train]
#
# ILSVRC holds train/<wnid>/*.JPEG and val/<wnid>/*.JPEG, and may hold class_labels.txt.
set -euo pipefail
case ${1:-} in -*) sed -n '2,$s/^# \{0,1\}//p' "$0"; exit ;; esac
data=${1:?usage: bash examples/resnet34-imagenet.sh ILSVRC OUTPUT [options]}
output=${2:?usage: bash examples/resnet34-imagenet.sh ILSVRC OUTPUT [options]}
shift 2
view=scale=256,crop=224,scale_mode=small

"$(dirname "$0")/../bin/model-train" --seed 1 --border-mode half --activation relu \
    --model-desc 'C.B[64,7,2] BN A P[3,2,1] nRSN.O[3,64,3] nRSN.O[4,128,3,2]
                  nRSN.O[6,256,3,2] nRSN.O[3,512,3,2] P.A R.TB' \
    --train "$data/train" --test "$data/val" \
    --extension "imagenet,$view,crop_mode=lenet,augment_color,augment_photo" \
    --test-extension "imagenet,$view" \
    --solver torch --learn-rate 0.1 --learn-momentum 0.9 --learn-decay 1e-4 \
    --learn-anneal 0.1 --learn-anneal-epochs 30 60 \
    --epochs 90 --batch-size 64 --batch-size-factor 2 --thread-num 8 \
    --output-prefix "$output/resnet34" "$@"
