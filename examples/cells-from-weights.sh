#!/usr/bin/env bash
# Find blood cells in photos from a microscope with a ResNet-34 that others trained on ImageNet: its
# weights start the detector. Needs Python >= 3.10, the photos (BCCD, MIT licence, Pascal VOC layout)
# and a file of weights of ResNet-34, of torchvision (resnet34-b627a593.pth) or timm
# (model.safetensors, pytorch_model.bin):
#
#     git clone https://github.com/Shenggan/BCCD_Dataset
#     bash examples/cells-from-weights.sh WEIGHTS BCCD_Dataset/BCCD [DIR]
#
# Writes everything below DIR (default: ./cells-from-weights).
set -euo pipefail
case ${1:-} in -*) sed -n '2,$s/^# \{0,1\}//p' "$0"; exit ;; esac
weights=$(realpath "${1:?give a file of weights of ResNet-34}")
cells=$(realpath "${2:?give the directory BCCD, which holds Annotations, ImageSets and JPEGImages}")
dir=$(realpath -m "${3:-cells-from-weights}")
cd "$(dirname "$0")/.."
epochs=${EPOCHS:-30}

say() { printf '\n== %s\n' "$*"; }

say "1. Install DeNet into .venv"
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[plots]'
export PATH="$PWD/.venv/bin:$PATH"
model-info --env

say "2. Make a model of the weights; a mark where the detector takes a finer map (layer 12)"
mkdir -p "$dir"
model-modify --input "$weights" --output "$dir/resnet34.mdl" --layer-insert '12:SKIPSRC'

say "3. Train a detector that starts from it, for $epochs epochs, on photos of half size"
model-train --model "$dir/resnet34.mdl" --init-partial --border-mode half \
    --model-desc 'C.B[64,7,2] BN A P[3,2,1] nRSN.O[3,64,3] nRSN.O[4,128,3,2] SKIPSRC
        nRSN.O[6,256,3,2] DC.B[128,3,2] BNA SKIP C.B[64,3] BNA
        DNC.C[48,10] DNS.P[5,24,0.01,0.5,1,1,4] C.B[128,1] BNA C.B[128,1] BNA
        DND[0.5,1,10]' \
    --train "$cells" \
    --extension voc,trainval,crop=320x240,crop_mode=denet,area_min=0.25,augment_photo,mosaic=0.5 \
    --test "$cells" --test-extension voc,test,crop=320x240 --test-epochs 10 \
    --solver adamw --learn-rate 0.001 --learn-momentum 0.9 0.999 --learn-decay 0.05 \
    --learn-warmup 2 --learn-cosine --average ema \
    --epochs "$epochs" --batch-size 8 --thread-num 2 \
    --disable-intermediate --output-prefix "$dir/run/cells" --overwrite

model=$(ls "$dir"/run/cells_epoch*_final.mdl)
say "4. Test it on the 72 photos that it has not seen, and draw each with its answers"
model-predict --predict-mode detect,voc,image --model "$model" \
    --input "$cells" --extension voc,test,crop=320x240 \
    --results "$dir/found/cells" --report "$dir/report"

say "Done. Look at
   $dir/found/*_dets.png            what was found in each photo, beside what is there
   $dir/report/                     precision-recall curves, average precision per class
   $dir/run/cells_curves.png        parts of the cost, average precision (training, test), learning rate
   $model"
