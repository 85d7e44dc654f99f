#!/bin/sh
# Prints the newest Python that equipot supports, of those on PATH and those that pyenv has; nothing
# where none is newer than the one given.
#   scripts/newest_python.sh [PYTHON]
set -eu
old=$("${1:-python3}" -c 'import sys; print(sys.version_info.minor)')
for minor in 13 12; do
  [ "$minor" -gt "$old" ] || exit 0
  for python in "python3.$minor" "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$minor".*/bin/python3; do
    # A name on PATH may be a stand-in that says only that there is none; venv may be packaged apart.
    if "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
      echo "$python"
      exit 0
    fi
  done
done
