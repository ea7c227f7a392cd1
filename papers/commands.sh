# What all scripts of papers/ share; they read it in. Environment of all of them:
#     PRINT=1   print the commands, run nothing
#     THREADS   threads that load images (4)
#     OUTPUT    directory of all that is written
set -euo pipefail
bin=$(cd "$(dirname "${BASH_SOURCE[0]}")/../bin" && pwd)
threads=${THREADS:-4}

fail() {
    echo "error: $*" >&2
    exit 2
}

# run COMMAND OPTION...: print a command as it may be typed, then run it
run() {
    local word
    for word in "$@"; do
        case $word in
        *[!A-Za-z0-9_./,:=*-]*) printf "'%s' " "$word" ;;
        *) printf '%s ' "$word" ;;
        esac
    done
    echo
    [ -n "${PRINT:-}" ] || "$bin/$1" "${@:2}"
}

# into DIRECTORY: all that is written goes there, or to OUTPUT
into() {
    output=${OUTPUT:-$1}
    [ -n "${PRINT:-}" ] || mkdir -p "$output"
}
