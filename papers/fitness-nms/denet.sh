#!/usr/bin/env bash
# The detectors (v2) of "Improving Object Localization with Fitness NMS and Bounded IoU Loss".
#
#     bash papers/fitness-nms/denet.sh MODEL DATA DIR [more options of model-train]
#
# MODEL is a trained wide DeNet (v1), train_epoch090_final.mdl of papers/dss/denet34.sh or
# denet101.sh; DATA is voc2007, voc2012 (DIR: VOCdevkit) or mscoco. The last layer starts anew:
# joint fitness (J), bounded IoU (B) with an eighth of the cost. A corner is the likeliest among its
# neighbours (local_max), so that a quarter of the samples does.
. "$(dirname "$0")/../detection.sh"
[ $# -ge 3 ] || fail "usage: bash $0 MODEL voc2007|voc2012|mscoco DIR [options of model-train]"
model=$1 data=$2 dir=$3
shift 3
dataset "$data"
into "denet-v2-$data"

run model-modify --input "$model" --output "$output/start.mdl" \
    --modify-layer denet-sparse sample_num=24 local_max=1 \
    --layer-remove 1 --layer-append 'DND.JB[0.5,1,0.125]'
# the paper tells neither rate nor epochs
train "$dir" --model "$output/start.mdl" --learn-rate 0.01 --learn-anneal 0.1 \
    --learn-anneal-epochs 15 25 --epochs 30 --batch-size 16 --batch-size-factor 8 "$@"
run model-modify --input "$(trained)" --output "$output/merged.mdl" --merge
evaluate "$dir" "$output/merged.mdl"
