# The way of a detector from a ResNet to its test; denet34.sh and denet101.sh set
#     depth              of the ResNet
#     batch, step        images computed together, and of a step: as in 2017, see README.md
#     trunk, inserts     the stages of the ResNet with the taps of the variant, and where
#                        model-modify puts these into a ResNet file
#     behind, head       the layers that follow
. "$(dirname "${BASH_SOURCE[0]}")/../detection.sh"
[ $# -ge 3 ] || fail "usage: bash $0 std|skip|wide voc2007|voc2012|mscoco DIR [options of model-train]"
variant=$1 data=$2 dir=$3
shift 3
[ -n "$trunk" ] || fail "variant '$variant': give std, skip or wide"
dataset "$data"
into "denet$depth-$variant-$data"

if [ -n "${RESNET:-}" ]; then
    # the last three layers are P.A and R, which is two
    run model-modify --input "$RESNET" --output "$output/start.mdl" --modify-bn 1 0.9 1e-5 \
        --convert-bn-relu --use-cudnn-pool --class-num "$class_num" --image-size "$size" "$size" \
        --layer-remove 3 ${inserts:+--layer-insert "$inserts"} --layer-append "$behind $head"
    network=(--model "$output/start.mdl")
else
    network=(--border-mode half --model-desc "C.B[64,7,2] BNA P[3,2,1] $trunk $behind $head")
fi
train "$dir" "${network[@]}" --learn-rate 0.1 --learn-anneal 0.1 --learn-anneal-epochs 30 60 \
    --epochs 90 --batch-size "$batch" --batch-size-factor $((step / batch)) "$@"
run model-modify --input "$(trained)" --output "$output/merged.mdl" --merge
evaluate "$dir" "$output/merged.mdl"
