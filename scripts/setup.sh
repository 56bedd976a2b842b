# Make .venv and install the package into it; used by explore.sh and test.sh, not called alone.
# An existing .venv is used again; it is installed anew when pyproject.toml has changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1

install() { # install EXTRA: "" or "[dev]"
  local mark=".venv/installed$1"
  if [ -f "$mark" ] && [ "$mark" -nt pyproject.toml ]; then return; fi
  [ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv .venv
  echo "Installing jumpretrain$1 into .venv (a few minutes the first time) ..."
  # torch comes first and pinned: left open, pip may fetch several GB of CUDA libraries.
  .venv/bin/python -m pip install --quiet "torch==2.13.0"
  .venv/bin/python -m pip install --quiet --editable ".$1"
  touch "$mark"
}
