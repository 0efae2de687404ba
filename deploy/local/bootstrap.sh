#!/bin/sh
# Make .venv ready: `bootstrap.sh LOCK_FILE`. Does nothing when it is ready already.
set -eu

lock=$1
venv=.venv
stamp=$venv/ready-$(basename "$lock")
# What the stamp stands for: this folder, these packages, this project file.
state="$(pwd) $(cat "$lock" pyproject.toml | cksum)"

say() { echo "bootstrap: $*"; }

usable() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; }

# Python 3.13 comes last of the named ones: there the bundled Redis is missing.
find_python() {
    without_venv=
    if [ -n "${PYTHON:-}" ]; then
        set -- "$PYTHON"
    else
        set -- python3.12 python3.11 python3.13 python3
    fi
    for name in "$@"; do
        if ! command -v "$name" >/dev/null || ! usable "$name"; then
            continue
        fi
        if "$name" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "$name"
            return
        fi
        without_venv=$name
    done
    if [ -n "$without_venv" ]; then
        version=$("$without_venv" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        say "$without_venv lacks venv or ensurepip; on Debian and Ubuntu:" \
            "apt install python$version-venv" >&2
    else
        say "Python 3.11, 3.12 or 3.13 is needed; name it with PYTHON=/path/to/python" >&2
    fi
    exit 1
}

if usable $venv/bin/python && [ "$(cat "$stamp" 2>/dev/null)" = "$state" ]; then
    exit 0
fi

if ! usable $venv/bin/python || ! $venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    say "making $venv with $($python --version)"
    "$python" -m venv --clear $venv
fi

rm -f "$stamp"
say "installing $lock; the first time downloads it"
export PIP_DISABLE_PIP_VERSION_CHECK=1
$venv/bin/python -m pip install --quiet --require-hashes -r "$lock"
$venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
echo "$state" >"$stamp"
