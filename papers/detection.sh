# What the scripts of the detectors share; they read it in. Environment beside that of commands.sh:
#     SIZE      side of the input in pixels (512)
. "$(dirname "${BASH_SOURCE[0]}")/commands.sh"
size=${SIZE:-512}

# dataset NAME: set class_num, training and test. known: whether the true boxes of test are public;
# where they are not, model-predict writes the files that the server of the challenge takes.
dataset() {
    class_num=20 known=
    case $1 in
    voc2007) training=voc,2007-trainval,2012-trainval test=voc,2007-test known=1 ;;
    voc2012) training=voc,2007-trainvaltest,2012-trainval test=voc,2012-test ;;
    mscoco) training=mscoco,2014-train,2014-val test=mscoco,2015-test-dev class_num=80 ;;
    *) fail "dataset '$1': give voc2007, voc2012 or mscoco" ;;
    esac
}

# train DIR OPTION...: the augmentation and the solver of the papers; later options win
train() {
    local view=crop=$size,scale_mode=large
    run model-train --train "$1" --extension "$training,$view,crop_mode=denet,augment_photo" \
        ${known:+--test "$1" --test-extension "$test,$view"} --thread-num "$threads" --seed 1 \
        --solver nesterov --learn-momentum 0.9 --learn-decay 1e-4 \
        --output-prefix "$output/train" "${@:2}"
}

# trained: print the name of the model that train leaves
trained() { printf '%s\n' "$output"/train_epoch*_final.mdl | tail -n 1; }

# evaluate DIR MODEL
evaluate() {
    run model-predict --predict-mode "detect,${test%%,*}" --batch-size 8 --thread-num "$threads" \
        --model "$2" --input "$1" --extension "$test,crop=$size,scale_mode=large" \
        --results "$output/results/found"
}
