#!/bin/sh
# OpenAI's own Python client against the server (test_openai.py).
cd "$(dirname "$0")/../.." || exit 1
python3 -c 'import openai, pydantic, pytest' 2>/dev/null ||
    { echo "NOT TESTED: OpenAI's Python client is absent (tests/server/clients)"; exit 0; }
said=$(RIDGE=${BUILD:-build}/ridge python3 -m pytest -q -p no:cacheprovider --tb=short tests/server/test_openai.py 2>&1)
status=$?
echo "$said"
echo "[  PASSED  ] $(echo "$said" | grep -o '[0-9]* passed' | tail -1 | tr -dc 0-9) tests"
exit $status
