#!/bin/sh
# OpenAI's own Python client against the server (test_openai.py). The client is taken from the Python that is there, or
# put into an environment of its own beside the build, once.
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
python=${PYTHON:-python3}
if ! "$python" -c 'import openai, pydantic, pytest' 2>/dev/null; then
    python=$BUILD/clients/bin/python
    if ! "$python" -c 'import openai, pydantic, pytest' 2>/dev/null; then
        python3 -m venv "$BUILD/clients" && "$python" -m pip install -q openai pydantic pytest ||
            { echo "NOT TESTED: OpenAI's Python client cannot be installed here"; exit 0; }
    fi
fi
RIDGE=$BUILD/ridge exec "$python" -m pytest -q -p no:cacheprovider --tb=short tests/server/test_openai.py
