#!/bin/sh
# Install the system packages that are missing: ngspice (program and library), Python's venv, a C compiler.
# Debian and Ubuntu; elsewhere it says what is needed and stops. With the word "browser" also Chromium, in
# which a few tests open reports, where apt has it; without it these tests are skipped.
set -eu

missing=""
command -v ngspice >/dev/null 2>&1 || missing="$missing ngspice"
ldconfig=$(command -v ldconfig || echo /sbin/ldconfig)
"$ldconfig" -p 2>/dev/null | grep -q 'libngspice\.so' || missing="$missing libngspice0"
if ! command -v python3 >/dev/null 2>&1; then
    missing="$missing python3 python3-venv"
elif ! python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then
    missing="$missing python3-venv"
fi
command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
browser=""
[ "${1:-}" != browser ] || command -v chromium >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || browser="chromium"
[ -n "$missing$browser" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    [ -n "$missing" ] || exit 0
    echo "please install:$missing (this script knows apt-get only)" >&2
    exit 1
fi
as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        [ -n "$missing" ] || exit 0
        echo "please install as root: apt-get install$missing" >&2
        exit 1
    fi
    as_root="sudo"
fi
if [ -n "$missing" ]; then
    echo "installing:$missing"
    $as_root apt-get update -qq
    # shellcheck disable=SC2086 # a list of package names is meant to split
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
elif [ -n "$browser" ] && ! apt-cache policy chromium 2>/dev/null | grep -q 'Candidate: [0-9]'; then
    $as_root apt-get update -qq || exit 0
fi
# Ubuntu's packages of a browser only point to a snap: there is no candidate called chromium.
if [ -n "$browser" ] && apt-cache policy chromium 2>/dev/null | grep -q 'Candidate: [0-9]'; then
    echo "installing: chromium"
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium ||
        echo "chromium cannot be installed: the tests that open a browser will be skipped" >&2
fi
