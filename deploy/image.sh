#!/usr/bin/env bash
# Builds the image from the static binary, without pulling anything: `deploy/image.sh [TAG]`, by default conclave:latest.
# Who has no Rust toolchain builds deploy/Dockerfile instead; the image is the same.
set -euo pipefail
cd "$(dirname "$0")/.."

tag=${1:-conclave:latest}
binary=$(bash deploy/static.sh)
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp "$binary" "$context/conclave"
chmod 755 "$context/conclave"
mkdir "$context/data"
docker build --quiet --file deploy/Dockerfile.static --tag "$tag" "$context"
