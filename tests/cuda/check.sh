#!/usr/bin/env bash
# Builds the feature `cuda` and runs what can be run here: without a GPU what the program says, the stand-ins and the
# kernels on the emulator; with one the device tests and a training as well. Describes itself in docs/cuda.md.
#
#   tests/cuda/check.sh               with the toolkit that is installed
#   tests/cuda/check.sh FOLDER        with the one that toolkit.sh makes in FOLDER, or has made there
#
# Its own command rather than part of the usual checks: the first build takes about a quarter of an hour on two cores.
set -euo pipefail
cd "$(dirname "$0")/../.."

step() { printf '\n== %s\n' "$*"; }
fail() { echo "$0: $*" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ $# -gt 0 ]; then
  step "a toolkit in $1"
  tests/cuda/toolkit.sh "$1"
  . "$1/env.sh"
fi
command -v nvcc > /dev/null || fail "no nvcc on the path; give a folder to make a toolkit in"

step "a stand-in hands arguments on, and fails softly"
tests=tests/cuda
printf 'FUNCTION(%s)\n' cuTestMany cuTestAbsent cuGetErrorString > "$work/names"
cc -O2 -fPIC -c $tests/stand_in.c -o "$work/stand_in.o" -DSONAME='"libwsss_test.so"' -DMISSING=100 -DNAMES="\"$work/names\""
cc $tests/stand_in_test.c "$work/stand_in.o" -o "$work/test" -ldl -lpthread
"$work/test" without
mkdir "$work/libraries"
cc -shared -fPIC -DLIBRARY $tests/stand_in_test.c -o "$work/libraries/libwsss_test.so"
WSSS_CUDA_LIBRARIES="/nonexistent:$work/lib*" "$work/test" with

step "build"
cargo build --release --features cuda
wsss=${CARGO_TARGET_DIR:-target}/release/wsss

step "the program on the CPU"
run=(compare --synth --repeats 1 --quiet --synth-set train=16 --synth-set val=0 --set train.steps=2 --set infer.scales=[1.0])
"$wsss" "${run[@]}" --out "$work/cpu" | tail -n 1

if nvidia-smi -L 2> /dev/null | grep -q GPU; then
  step "the program on the GPU"
  "$wsss" "${run[@]}" --out "$work/gpu" --device cuda
  step "a checkpoint of the GPU on the CPU"
  "$wsss" seeds --quiet --checkpoint "$work/gpu/seam-r0/checkpoint.safetensors" --data "$work/gpu/data" \
    --set infer.scales=[1.0] --out "$work/seeds"
  step "operations on the GPU"
  cargo test --release --features cuda -p candle-wsss --test tests device::
else
  step "what the program says without a GPU"
  code=0
  "$wsss" "${run[@]}" --out "$work/gpu" --device cuda 2> "$work/said" || code=$?
  cat "$work/said"
  [ "$code" = 2 ] || fail "expected exit code 2, got $code"
  [ "$(wc -l < "$work/said")" = 1 ] || fail "expected one line"
  [ ! -e "$work/gpu" ] || fail "a folder was left behind"
  step "kernels on the emulator"
  cargo test -p candle-wsss --test tests device::
fi
step "all good"
