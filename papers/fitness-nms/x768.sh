#!/usr/bin/env bash
# A detector of denet.sh on images of 768x768 pixels, with 36x36 samples instead of 24x24.
#
#     bash papers/fitness-nms/x768.sh MODEL DATA DIR
. "$(dirname "$0")/../detection.sh"
[ $# -ge 3 ] || fail "usage: bash $0 MODEL voc2007|voc2012|mscoco DIR"
model=$1 data=$2 dir=$3
dataset "$data"
into "denet-v2-x768-$data"
size=${SIZE:-768}

run model-modify --input "$model" --output "$output/x768.mdl" --image-size "$size" "$size" \
    --modify-layer denet-sparse sample_num=36
evaluate "$dir" "$output/x768.mdl"
