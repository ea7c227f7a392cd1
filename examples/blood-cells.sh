#!/usr/bin/env bash
# Find blood cells in photos from a microscope: a detector trained from scratch on 292 real photos, on
# a plain CPU. Needs Python >= 3.10 and the photos (BCCD, MIT licence, Pascal VOC layout):
#
#     git clone https://github.com/Shenggan/BCCD_Dataset
#     bash examples/blood-cells.sh BCCD_Dataset/BCCD [DIR]
#
# Writes everything below DIR (default: ./blood-cells).
set -euo pipefail
case ${1:-} in -*) sed -n '2,$s/^# \{0,1\}//p' "$0"; exit ;; esac
cells=$(realpath "${1:?give the directory BCCD, which holds Annotations, ImageSets and JPEGImages}")
dir=$(realpath -m "${2:-blood-cells}")
cd "$(dirname "$0")/.."
epochs=${EPOCHS:-60}

say() { printf '\n== %s\n' "$*"; }

say "1. Install DeNet into .venv"
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[plots]'
export PATH="$PWD/.venv/bin:$PATH"
model-info --env

say "2. Train on the photos of train and val for $epochs epochs, half size, random parts of them"
model-train --border-mode half \
    --model-desc 'C.B[32,3,2] BN A RSN.O[32,3,2] SKIPSRC[0] RSN.O[64,3,2] SKIPSRC[1]
        nRSN.O[3,128,3,2] DC.B[64,3,2] BNA SKIP[1] C.B[64,3] BNA
        DC.B[32,3,2] BNA SKIP[0] C.B[64,3] BNA
        DNC.C[48,10] DNS.P[5,24,0.01,0.5,1,1,4] C.B[128,1] BNA C.B[128,1] BNA
        DND[0.5,1,10]' \
    --train "$cells" \
    --extension voc,trainval,crop=320x240,crop_mode=denet,area_min=0.25,augment_photo,mosaic=0.5 \
    --test "$cells" --test-extension voc,test,crop=320x240 --test-epochs 20 \
    --solver adamw --learn-rate 0.003 --learn-momentum 0.9 0.999 --learn-decay 0.05 \
    --learn-warmup 2 --learn-cosine --average ema \
    --epochs "$epochs" --batch-size 8 --thread-num 2 \
    --disable-intermediate --output-prefix "$dir/run/cells" --overwrite

model=$(ls "$dir"/run/cells_epoch*_final.mdl)
say "3. Test it on the 72 photos that it has not seen, and draw each with its answers"
model-predict --predict-mode detect,voc,image --model "$model" \
    --input "$cells" --extension voc,test,crop=320x240 \
    --results "$dir/found/cells" --report "$dir/report"

say "Done. Look at
   $dir/found/*_dets.png            what was found in each photo, beside what is there
   $dir/report/                     precision-recall curves, average precision per class
   $dir/run/cells_curves.png        parts of the cost, average precision (training, test), learning rate
   $model"
