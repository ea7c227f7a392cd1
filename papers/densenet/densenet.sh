# What the scripts of DenseNet share; they read it in.
. "$(dirname "${BASH_SOURCE[0]}")/../commands.sh"

# cifar_network WORD DROPOUT: set network, that of 32x32 images called DEPTH-GROWTH or bc-DEPTH-GROWTH
cifar_network() {
    [[ $1 =~ ^(bc-)?([1-9][0-9]{0,3})-([1-9][0-9]{0,3})$ ]] ||
        fail "network '$1': give DEPTH-GROWTH, such as 40-12, or bc-DEPTH-GROWTH, such as bc-100-12"
    local bc=${BASH_REMATCH[1]} depth=${BASH_REMATCH[2]} growth=${BASH_REMATCH[3]}
    local each=3 start=16 bottleneck=0 compression=1
    [ -z "$bc" ] || each=6 start=$((2 * growth)) bottleneck=4 compression=0.5
    ((depth > 4 && (depth - 4) % each == 0)) ||
        fail "network '$1': a depth of $depth: give 4 and a multiple of $each"
    local block="nDL[$(((depth - 4) / each)),$growth,$bottleneck,$2]" between="TR[$compression,$2]"
    network="C.B[$start,3] $block $between $block $between $block BN A P.A R.TB"
}

# train OPTION...: the solver of the paper; later options win
train() {
    run model-train --border-mode half --model-desc "$network" --solver nesterov \
        --learn-rate 0.1 --learn-momentum 0.9 --learn-decay 1e-4 --learn-decay-all \
        --recompute cheap --thread-num "$threads" --output-prefix "$output/train" "$@"
}
