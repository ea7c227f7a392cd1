# What the scripts of ccv's networks share; they read it in.
. "$(dirname "${BASH_SOURCE[0]}")/../commands.sh"

# train OPTION...: the start and the solver of ccv; later options win
train() {
    run model-train --border-mode valid --weight-init ccv --model-desc "$network" \
        --solver momentum --learn-momentum 0.9 --thread-num "$threads" \
        --output-prefix "$output/train" "$@"
}
