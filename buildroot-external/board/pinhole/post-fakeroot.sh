#!/usr/bin/env bash
# Checks the root as it goes into the image: Buildroot's post-fakeroot hook, after packages have
# set their rights. $1 is the root.
set -euo pipefail

# For programs that are not here: `su`, `ping`, `mount`.
chmod u-s "$1/bin/busybox"
"$(dirname "$0")/check-root" "$1"
