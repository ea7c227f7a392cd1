#!/usr/bin/env bash
# From nothing to a trained, tested and used classifier in a few minutes on a plain CPU.
# Needs Python >= 3.10. Writes everything below DIR (default: ./quickstart).
#
#     bash examples/quickstart.sh [DIR]
set -euo pipefail
case ${1:-} in -*) sed -n '2,$s/^# \{0,1\}//p' "$0"; exit ;; esac
cd "$(dirname "$0")/.."
dir=${1:-quickstart}
epochs=${EPOCHS:-12}

say() { printf '\n== %s\n' "$*"; }

say "1. Install DeNet into .venv"
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[plots]'
export PATH="$PWD/.venv/bin:$PATH"
model-info --env

say "2. Draw a picture set: six shapes, 2400 pictures to train, 600 to test"
python examples/make_shapes.py "$dir/shapes"

say "   Look at it: classes, sizes, problems, and a command to start with"
model-info --data "$dir/shapes"

say "3. Train a small residual network for $epochs epochs"
model-train --border-mode half --activation relu \
    --model-desc 'C.B[16,3] BN A RSN.O[16,3] RSN.O[32,3,2] RSN.O[64,3,2] RSN.O[64,3,2] P.A R' \
    --train "$dir/shapes/train" --test "$dir/shapes/test" --extension png --distort-mode r180 m50 \
    --solver nesterov --learn-rate 0.05 --learn-momentum 0.9 --learn-decay 5e-4 \
    --learn-warmup 1 --learn-cosine --epochs "$epochs" --batch-size 32 --thread-num 2 \
    --output-prefix "$dir/run/shapes" --overwrite

say "   All about that run in one page"
model-report "$dir/run/shapes" --overwrite

model=$(ls "$dir"/run/shapes_epoch*_final.mdl)
say "4. Test it, and see where it errs"
model-predict --model "$model" --input "$dir/shapes/test" --extension png \
    --format csv --results "$dir/answers.csv" --report "$dir/report"

say "5. Ask it about one picture"
picture=$dir/shapes/test/star/0000.png
model-predict --model "$model" --input "$picture" --draw "$dir/star.png"

say "Done. Look at
   $dir/run/shapes_report.html  all about the training, for a browser
   $dir/run/shapes_curves.png   training cost, test error and learning rate
   $dir/run/shapes_metrics.csv  the same as numbers
   $dir/report/                 errors per class, confusion matrix, most confident mistakes
   $dir/answers.csv             what the network says of each test picture
   $dir/star.png                the picture beside its most probable classes
   $model
Next: '. .venv/bin/activate', model-train --help, and docs/data.md."
