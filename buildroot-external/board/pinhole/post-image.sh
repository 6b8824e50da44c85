#!/usr/bin/env bash
# Makes the card: Buildroot's post-image hook. $1 is the directory with what was built.
set -euo pipefail

binaries=$1
board=$(dirname "$0")
images=$(realpath "$board/../../../images")
work="$BUILD_DIR/pinhole-card"

rm -rf "$work"
mkdir -p "$work/files" "$work/inputs"
cp -r "$images/boot" "$work/files/boot"
cp "$binaries"/rpi-firmware/* "$binaries/u-boot.bin" "$binaries"/broadcom/*.dtb "$work/files/boot/"
# The Pi's firmware knows no carrier board of a CM4.
cp "$binaries/broadcom/bcm2711-rpi-cm4-io.dtb" "$work/files/boot/bcm2711-rpi-cm4.dtb"
ln -s "$binaries/rootfs.squashfs" "$work/inputs/root.squashfs"
find "$work/files" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +

# FAT keeps local time.
TZ=UTC genimage --config "$images/card.cfg" --rootpath "$work/files" --tmppath "$work/tmp" \
    --inputpath "$work/inputs" --outputpath "$binaries"
