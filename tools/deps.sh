#!/usr/bin/env bash
# Install the Debian packages that tools/deps-debian.txt names and this machine lacks.
# usage: deps.sh [build|run|test|conformance ...]   (default: the first three)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
groups=${*:-build run test}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "leat: this is not a Debian system, so nothing can be installed for you." >&2
    echo "Install what these Debian packages hold under your system's names, then run make build:" >&2
    sed -n 's/^[a-z]*: */  /p' "$here/deps-debian.txt" >&2
    exit 1
fi

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# A name may offer alternatives for other Debian releases: a|b.
missing=()
for group in $groups; do
    while read -r name; do
        found=
        for one in ${name//|/ }; do installed "$one" && found=yes && break; done
        [ -n "$found" ] || missing+=("$name")
    done < <(sed -n "s/^$group: *//p" "$here/deps-debian.txt" | tr ' ' '\n' | sed '/^$/d')
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
        echo "leat: these packages are missing and only root can install them: ${missing[*]}" >&2
        exit 1
    }
    as_root=sudo
fi
echo "Installing: ${missing[*]}"
$as_root apt-get update -qq
chosen=()
for name in "${missing[@]}"; do
    one=
    for candidate in ${name//|/ }; do
        if apt-cache show "$candidate" >/dev/null 2>&1; then one=$candidate; break; fi
    done
    [ -n "$one" ] || { echo "leat: no package found for $name in this system's sources" >&2; exit 1; }
    chosen+=("$one")
done
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${chosen[@]}" >/dev/null
