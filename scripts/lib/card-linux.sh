# shellcheck shell=bash
# shellcheck disable=SC2034 # write-card uses the variables
# Cards and card readers as Linux shows them: lsblk and sysfs. Sourced by write-card.

# What dd needs so that a MiB is on the card when it returns, and comes from there.
write_flags='conv=fsync'
read_flags='iflag=direct'

# block DEVICE COLUMN: what lsblk says of it.
block() {
    lsblk -dnbo "$2" "$1" 2>/dev/null | sed 's/^ *//; s/ *$//'
}

resolve_device() {
    readlink -f -- "$1" 2>/dev/null || printf '%s\n' "$1"
}

is_device() {
    [ -b "$1" ]
}

raw_device() {
    printf '%s\n' "$1"
}

# is_removable DEVICE: whether its medium can be taken out: a reader that says so, or an SD card
# in a slot of the machine's own, for which the kernel does not (but eMMC, which is soldered in,
# has the same driver).
is_removable() {
    [ "$(block "$1" RM)" = 1 ] || [ "$(cat "/sys/class/block/${1##*/}/device/type" 2>/dev/null)" = SD ]
}

# removable_devices: the cards, without readers that hold none.
removable_devices() {
    local name type size
    lsblk -dnbro PATH,TYPE,SIZE 2>/dev/null | while read -r name type size; do
        if [ "$type" = disk ] && [ "${size:-0}" -gt 0 ] && is_removable "$name"; then
            printf '%s\n' "$name"
        fi
    done
}

require_removable() {
    is_device "$1" || fail "there is no device $1; scripts/write-card alone lists the cards"
    case $(block "$1" TYPE) in
    # Only somebody who made one names it: it is a file.
    loop) ;;
    disk) is_removable "$1" || fail "$1 is not removable, so it is no card; scripts/write-card alone lists the cards" ;;
    part) fail "$1 is a partition: name the whole card, /dev/$(block "$1" PKNAME)" ;;
    *) fail "$1 is no disk; scripts/write-card alone lists the cards" ;;
    esac
    [ "$(size_of_device "$1")" -gt 0 ] || fail "there is no card in $1"
    [ "$(block "$1" RO)" = 0 ] || fail "$1 is write-protected: slide the switch at the card's edge"
}

size_of_device() {
    block "$1" SIZE
}

model_of_device() {
    local words
    words=$(printf '%s %s %s' "$(block "$1" VENDOR)" "$(block "$1" MODEL)" "$(block "$1" TRAN)" | tr -s ' ' | sed 's/^ //; s/ $//')
    printf '%s\n' "${words:-no model given}"
}

# users_of_device DEVICE: who uses it or a part of it, a line each.
users_of_device() {
    local name type place
    lsblk -nro PATH,TYPE,MOUNTPOINT "$1" 2>/dev/null | while read -r name type place; do
        case $type:$place in
        *:/ | *:/boot | *:/boot/* | *:/usr | *:\[SWAP\]) printf 'the running system has %s at %s\n' "$name" "$place" ;;
        *:/*) printf '%s is mounted at %b\n' "$name" "$place" ;;
        disk: | part: | loop:) ;;
        *) printf '%s is a volume on it\n' "$name" ;;
        esac
    done
}

# release_command DEVICE USERS: what ends all that users_of_device told.
release_command() {
    printf 'sudo umount'
    printf '%s\n' "$2" | sed -n 's/ is mounted at .*//p' | while read -r part; do
        printf ' %s' "$part"
    done
}

# lock_device DESCRIPTOR: keeps udev, and with it the desktop's automounter, away from a device
# that is being written (systemd.io/BLOCK_DEVICE_LOCKING), and a second write-card.
lock_device() {
    # udev itself holds it for moments.
    flock -w 3 "$1"
}

# release_device DEVICE: closing it was enough.
release_device() {
    :
}

# put_settings_on_card FILE CARD: FILE becomes pinhole.toml on the boot partition of a card file.
put_settings_on_card() {
    command -v mcopy >/dev/null || fail "mcopy is missing: install the package mtools"
    copy_with_mtools "$1" "$2"
}
