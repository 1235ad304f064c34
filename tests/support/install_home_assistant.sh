#!/usr/bin/env bash
# Install Home Assistant for tests/system/test_home_assistant.py below ~/.cache (800 MB), with a Python 3.13 that is on
# this machine. Where there is none, or a download fails, the file why-not there says it: the tests skip then.
set -euo pipefail
cd "$(dirname "$0")/../.."
environment=${BIRDWATCHD_HOME_ASSISTANT:-${XDG_CACHE_HOME:-$HOME/.cache}/birdwatchd/home-assistant}
list=tests/support/home_assistant.txt
cmp -s "$list" "$environment/installed" && exit 0

give_up() {
  rm -rf "$environment" && mkdir -p "$environment"
  echo "Home Assistant is not installed: $1" | tee "$environment/why-not"
  exit 0
}

python=""
for one in python3.13 "$HOME"/.pyenv/versions/3.13.*/bin/python "$HOME"/.local/share/uv/python/cpython-3.13*/bin/python; do
  if "$one" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 13))' >/dev/null 2>&1; then
    python=$one
    break
  fi
done
[ -n "$python" ] || give_up "it needs Python 3.13, with venv"
echo "installing Home Assistant for the tests into $environment"
rm -rf "$environment"
"$python" -m venv "$environment"
# uv installs what asks for 3.13.2 into 3.13.0 too; home_assistant_start.py answers the same question at the start.
uv="$environment/uv"
"$python" -m venv "$uv" && "$uv/bin/python" -m pip install --quiet --disable-pip-version-check "uv>=0.9,<1" \
  || give_up "uv could not be installed"
"$uv/bin/uv" pip install --quiet --python "$environment/bin/python" --python-version 3.13.2 -r "$list" \
  || give_up "its packages could not be installed"
"$environment/bin/python" -c 'import homeassistant.components.mobile_app, homeassistant.components.mqtt.client' 2>/dev/null \
  || give_up "what was installed cannot be imported"
cp "$list" "$environment/installed"
