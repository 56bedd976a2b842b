#!/usr/bin/env bash
# Install into .venv and run the main job; arguments go to `jumpretrain explore`.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
install ""
exec .venv/bin/jumpretrain explore "$@"
