#!/usr/bin/env bash
# Makes dashboard.schema.json anew: dashboard.ts, which narrows the types of Grafana's dashboard model
# (the package @grafana/schema, Apache-2.0) to what is exported here, as a JSON schema. Wants npm.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --ignore-scripts @grafana/schema@13.2.3 ts-json-schema-generator@2.10.0
cp "$here/dashboard.ts" .
echo '{"compilerOptions": {"moduleResolution": "bundler", "module": "esnext", "strict": true}}' \
    >tsconfig.json
npx ts-json-schema-generator --tsconfig tsconfig.json --path dashboard.ts --type Dashboard \
    --expose none --no-type-check --jsDoc none --minify --out "$here/dashboard.schema.json"
