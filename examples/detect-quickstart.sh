#!/usr/bin/env bash
# From nothing to a network that finds objects in pictures, in a few minutes on a plain CPU.
# Needs Python >= 3.10. Writes everything below DIR (default: ./detect-quickstart).
#
#     bash examples/detect-quickstart.sh [DIR]
set -euo pipefail
case ${1:-} in -*) sed -n '2,$s/^# \{0,1\}//p' "$0"; exit ;; esac
cd "$(dirname "$0")/.."
dir=${1:-detect-quickstart}
epochs=${EPOCHS:-8}

say() { printf '\n== %s\n' "$*"; }

say "1. Install DeNet into .venv"
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[plots]'
export PATH="$PWD/.venv/bin:$PATH"
model-info --env

say "2. Draw a picture set: five kinds of objects, 4000 pictures to train, 300 to test"
python examples/make_objects.py "$dir/objects"

say "3. Train a small residual network for $epochs epochs: corners (DNC), samples (DNS), objects (DND)"
model-train --border-mode half \
    --model-desc 'C.B[32,3,2] BN A RSN.O[32,3,2] SKIPSRC[0] RSN.O[64,3,2] nRSN.O[3,128,3,2]
        DC.B[64,3,2] BNA C.B[64,3] BNA DC.B[32,3,2] BNA SKIP[0] C.B[64,3] BNA
        DNC[48,20] DNS[5,12] C.B[128,1] BNA C.B[128,1] BNA DND[0.5,1,10]' \
    --train "$dir/objects" --extension voc,train,crop=128 \
    --test "$dir/objects" --test-extension voc,test,crop=128 \
    --solver adamw --learn-rate 0.002 --learn-momentum 0.9 0.999 --learn-decay 0.05 \
    --learn-warmup 0.5 --learn-cosine --average ema --epochs "$epochs" --batch-size 16 --thread-num 2 \
    --output-prefix "$dir/run/objects" --overwrite

model=$(ls "$dir"/run/objects_epoch*_final.mdl)
say "4. Test it: average precision as Pascal VOC counts it, and a picture of every answer"
model-predict --predict-mode detect,voc,image --model "$model" \
    --input "$dir/objects" --extension voc,test,crop=128 \
    --results "$dir/found/objects" --report "$dir/report"

say "   All about that run in one page"
model-report "$dir/run/objects" --overwrite

say "5. Ask it about one picture"
picture=$dir/objects/JPEGImages/test_0000.jpg
model-predict --predict-mode detect --model "$model" --input "$picture" --draw "$dir/test_0000.png"

say "Done. Look at
   $dir/found/*_dets.png            what was found in each test picture, beside what is there
   $dir/run/objects_report.html     all about the training, for a browser
   $dir/report/                     precision-recall curves, confusion, sizes, the worst pictures
   $dir/found/comp4_det_test_*.txt  the answers in the form of Pascal VOC; detections.json: all of them
   $dir/run/objects_curves.png      parts of the cost, average precision (training, test), learning rate
   $dir/run/objects_metrics.csv     the same as numbers
   $dir/test_0000.png               one picture with its objects
   $model
Next: '. .venv/bin/activate', model-train --help, and docs/detection.md."
