#!/bin/sh
# Run a script with a Python that suits the course:   sh .make/python.sh SCRIPT [ARGUMENT ...]
#
# Which one: $PYTHON where it is set; else the one that made .venv; else the first of the usual
# names whose version we test (3.11 to 3.13); else the first that is newer. A name that is there
# but does not start (a version manager's shim, the Windows store's stub) is passed over.

tested='(3, 11) <= sys.version_info < (3, 14)'
newer='sys.version_info >= (3, 11)'

holds() {  # holds CONDITION COMMAND [ARGUMENT ...]: does this Python start, and fit?
    condition=$1
    shift
    "$@" -c "import sys; sys.exit(not $condition)" </dev/null >/dev/null 2>&1
}

stop() {
    echo "bnlib: $1" >&2
    exit 1
}

if [ -n "${PYTHON:-}" ]; then
    if command -v "$PYTHON" >/dev/null 2>&1; then
        holds "$newer" "$PYTHON" && exec "$PYTHON" "$@" # one word, maybe a path with spaces
    else
        # shellcheck disable=SC2086  # several words, such as: py -3.12
        holds "$newer" $PYTHON && exec $PYTHON "$@"
    fi
    stop "PYTHON=$PYTHON does not start a Python 3.11 or newer: name another, or leave PYTHON out."
fi

if [ -r .venv/pyvenv.cfg ]; then
    made_by=
    while IFS= read -r line; do
        case $line in "executable = "*) made_by=${line#executable = } ;; esac
    done <.venv/pyvenv.cfg
    [ -n "$made_by" ] && holds "$newer" "$made_by" && exec "$made_by" "$@"
fi

for condition in "$tested" "$newer"; do
    for name in python3 python python3.13 python3.12 python3.11 \
        "py -3.13" "py -3.12" "py -3.11" python3.14 "py -3"; do
        command -v "${name%% *}" >/dev/null 2>&1 || continue
        # shellcheck disable=SC2086  # "py -3.13" is two words
        holds "$condition" $name && exec $name "$@"
    done
done

stop "no Python 3.11 or newer was found: install one from python.org or your system's packages \
(or name it: make PYTHON=/path/to/python3 …)."
