#!/usr/bin/env bash
# Install into .venv and run the tests; arguments go to pytest. Slow tests run with `-m ''`.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
install "[dev]"
exec .venv/bin/python -m pytest "$@"
