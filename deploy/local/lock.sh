#!/bin/sh
# Write the lock files anew: versions and hashes of the public index, no addresses.
set -eu

python=$1
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"$python" -m venv "$tools/venv"
"$tools/venv/bin/python" -m pip install --quiet uv

# The test and load packages share one .venv with the rest, so each file keeps to the one before.
compile() {
    target=$1
    shift
    # setuptools installs the project itself, without a build environment of its own.
    echo 'setuptools>=77' | "$tools/venv/bin/python" -m uv pip compile --quiet --no-config \
        --universal --python-version 3.11 --generate-hashes --upgrade \
        --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
        "$@" pyproject.toml - --output-file "$target"
    echo "$target: $(grep -c == "$target") packages"
}

compile requirements.lock
compile requirements-test.lock --extra test --constraint requirements.lock
compile requirements-load.lock --extra load --constraint requirements-test.lock
