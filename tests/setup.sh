#!/usr/bin/env bash
# Installs what the tests need beside Rust: servers and clients that nobody in this project wrote.
# Made for Debian and its relatives. Run it as often as you like: what is there already is left alone.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=(apache2 lighttpd prometheus prometheus-alertmanager curl procps python3-venv faketime systemd chromium fonts-dejavu-core
    gcc libc6-dev util-linux mount)
# Node.js comes from many places; any of them will do.
command -v npm >/dev/null || packages+=(nodejs npm)
venv=target/test-tools/venv
requirements=(pyomsdk==9.0.0 icalendar==7.3.0 cryptography==48.0.0)

installed() {
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "these are missing, and installing them takes root or sudo: ${missing[*]}" >&2
        exit 1
    fi
}

missing=()
for package in "${packages[@]}"; do
    installed "$package" || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
    if ! command -v apt-get >/dev/null; then
        echo "these are missing, and there is no apt-get to install them: ${missing[*]}" >&2
        exit 1
    fi
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}"
    # The tests start servers of their own; the ones that Debian starts at boot would only hold ports.
    for package in "${missing[@]}"; do
        case "$package" in apache2 | lighttpd | prometheus | prometheus-alertmanager)
            if [ -d /run/systemd/system ]; then as_root systemctl disable --now "$package"; fi ;;
        esac
    done
fi

# The marker holds what was installed, so that a change of version is noticed and a second run costs nothing.
if [ "$(cat "$venv/requirements" 2>/dev/null)" != "${requirements[*]}" ]; then
    if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
        echo "python3 is $(python3 --version), but the client library of the tests needs 3.10 or later" >&2
        exit 1
    fi
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${requirements[@]}"
    printf '%s' "${requirements[*]}" >"$venv/requirements"
fi

# A browser's hands and eyes: what drives Chromium, and what knows the rules of accessibility.
browser=target/test-tools/browser
modules=(playwright-core@1.65.1 axe-core@4.14.1 @axe-core/playwright@4.13.0)
if [ "$(cat "$browser/modules" 2>/dev/null)" != "${modules[*]}" ]; then
    mkdir -p "$browser"
    npm install --prefix "$browser" --no-save --no-audit --no-fund --loglevel=error "${modules[@]}"
    printf '%s' "${modules[*]}" >"$browser/modules"
fi
