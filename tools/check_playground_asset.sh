#!/usr/bin/env bash
# The playground's built files are in git. Build them again from the lock file and compare the bytes.
# Needs Node and npm, and a package registry (npm's own settings say which).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
committed=$root/src/paceline/server/playground/static
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp -r "$root"/clients/playground/{.npmrc,package.json,package-lock.json,build.mjs,src} "$work"
cd "$work"
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
mkdir built
node build.mjs "$work/built"

for name in playground.js third-party-licenses.txt; do
  if ! cmp "$work/built/$name" "$committed/$name"; then
    echo "$name is not what clients/playground builds; run: npm ci && npm run build (there), and commit it." >&2
    exit 1
  fi
done
echo "playground: the committed files are what clients/playground builds"
