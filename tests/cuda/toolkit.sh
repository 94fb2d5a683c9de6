#!/usr/bin/env bash
# Puts a CUDA 13.0 toolkit together from NVIDIA's wheels on PyPI, enough to build the feature `cuda` on a machine that has
# neither a GPU nor a driver nor root. Describes itself in docs/cuda.md.
#
#   tests/cuda/toolkit.sh FOLDER      about 105 MB to download, 270 MB in FOLDER; a FOLDER that is there is completed
#   . FOLDER/env.sh                   what cargo needs to know
#
# Needs python3 with pip (PIP names another), a C compiler, and the sources of cudarc in cargo's registry: `cargo fetch`.
set -euo pipefail

# The compiler, its device headers and backend; the runtime with its headers; and the C++ headers of kernels.
wheels=(nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88
  nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85)

# What candle links: name for the linker, file to open when it runs, module of cudarc that lists the functions, and the
# error for "not there": no device, not initialised, or whatever is nearest.
libraries=(
  "cuda     libcuda.so.1      driver   100"
  "nvrtc    libnvrtc.so.13    nvrtc    7"
  "cublas   libcublas.so.13   cublas   1"
  "cublasLt libcublasLt.so.13 cublaslt 1"
  "curand   libcurand.so.10   curand   101"
  "cudnn    libcudnn.so.9     cudnn    1001"
)

fail() { echo "$0: $*" >&2; exit 1; }

[ $# -eq 1 ] || { sed -n '2,8p' "$0" | sed 's/^# \{0,1\}//'; exit 2; }
[ "$(uname -sm)" = "Linux x86_64" ] || fail "written for Linux on x86-64, this is $(uname -sm)"
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
cudarc=$(find "$registry" -maxdepth 2 -type d -name 'cudarc-0.19.*' 2> /dev/null | sort -V | tail -n 1)
[ -n "$cudarc" ] || fail "no cudarc 0.19 in $registry; run: cargo fetch"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

unpack_wheels() {
  ${PIP:-python3 -m pip} download --quiet --no-deps --only-binary=:all: --dest "$work" "${wheels[@]}"
  for wheel in "$work"/*.whl; do
    python3 -m zipfile -e "$wheel" "$work/unpacked"
  done
  cp -a "$work"/unpacked/nvidia/cu13/. "$folder"/
  # A wheel keeps no modes.
  chmod +x "$folder"/bin/* "$folder"/nvvm/bin/*
  # Where nvcc and candle's build look for libraries.
  ln -sfn lib "$folder/lib64"
}

stand_in() { # NAME SONAME MODULE MISSING
  local names="$work/$1.names"
  grep -hoE 'pub (unsafe )?fn (cu|nvrtc)[A-Za-z0-9_]+' "$cudarc/src/$3/sys/"*.rs | awk '{print $NF}' | grep -vx culib |
    sort -u | sed 's/.*/FUNCTION(&)/' > "$names"
  [ -s "$names" ] || fail "no functions of $1 in $cudarc/src/$3/sys"
  ${CC:-cc} -O2 -fPIC -Wall -Wno-unused-function -c "$here/stand_in.c" -o "$work/$1.o" \
    -DSONAME="\"$2\"" -DMISSING="$4" -DNAMES="\"$names\""
  rm -f "$folder/lib/stubs/lib$1.a"
  ar rcs "$folder/lib/stubs/lib$1.a" "$work/$1.o"
}

[ -x "$folder/bin/nvcc" ] || unpack_wheels
rm -rf "$folder/lib/stubs"
mkdir -p "$folder/lib/stubs"
for library in "${libraries[@]}"; do
  read -r name soname module missing <<< "$library"
  stand_in "$name" "$soname" "$module" "$missing"
done
# The runtime itself, in the form that is linked in: it looks for a driver when it is first used.
ln -sfn ../libcudart_static.a "$folder/lib/stubs/libcudart.a"

cat > "$folder/env.sh" << ENV
export CUDA_HOME="$folder" NVCC="$folder/bin/nvcc" PATH="$folder/bin:\$PATH"
# The least device it is built for; 90 is Hopper.
export CUDA_COMPUTE_CAP="\${CUDA_COMPUTE_CAP:-90}"
ENV
"$folder/bin/nvcc" --version | sed -n 's/^Cuda compilation tools, /nvcc: /p'
echo "before cargo: . $folder/env.sh"
