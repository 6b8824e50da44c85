# shellcheck shell=bash
# shellcheck disable=SC2034 # write-card uses the variables
# Cards and card readers as macOS shows them: diskutil and hdiutil. Sourced by write-card.

# The raw device has no cache in between.
write_flags=''
read_flags=''

# disk DEVICE LABEL: what diskutil says of it behind LABEL. Columns differ between releases.
disk() {
    diskutil info "$1" 2>/dev/null | awk -v label="$2:" '
        { sub(/^ +/, "") }
        index($0, label) == 1 { sub(/^[^:]*: */, ""); sub(/ +$/, ""); print; exit }'
}

resolve_device() {
    case $1 in
    disk*) printf '/dev/%s\n' "$1" ;;
    /dev/rdisk*) printf '/dev/%s\n' "${1#/dev/r}" ;;
    *) printf '%s\n' "$1" ;;
    esac
}

is_device() {
    [ -b "$1" ]
}

raw_device() {
    printf '/dev/r%s\n' "${1#/dev/}"
}

# is_removable DEVICE: a disk image says that it is, too, and is virtual.
is_removable() {
    [ "$(disk "$1" 'Removable Media')" = Removable ] && [ "$(disk "$1" Virtual)" != Yes ]
}

removable_devices() {
    local name
    diskutil list | awk '/^\/dev\/disk/ { print $1 }' | while read -r name; do
        if is_removable "$name" && [ "$(size_of_device "$name")" -gt 0 ]; then
            printf '%s\n' "$name"
        fi
    done
}

require_removable() {
    is_device "$1" || fail "there is no device $1; scripts/write-card alone lists the cards"
    [ "$(disk "$1" Whole)" = Yes ] || fail "$1 is a partition: name the whole card, /dev/$(disk "$1" 'Part of Whole')"
    is_removable "$1" || fail "$1 is not removable, so it is no card; scripts/write-card alone lists the cards"
    [ "$(size_of_device "$1")" -gt 0 ] || fail "there is no card in $1"
    [ "$(disk "$1" 'Media Read-Only')" != Yes ] || fail "$1 is write-protected: slide the switch at the card's edge"
}

# size_of_device DEVICE: from a line such as "31.9 GB (31914983424 Bytes) (exactly …)".
size_of_device() {
    local size
    size=$(disk "$1" 'Disk Size' | sed -n 's/.*(\([0-9]*\) Bytes).*/\1/p')
    printf '%s\n' "${size:-0}"
}

model_of_device() {
    printf '%s %s\n' "$(disk "$1" 'Device / Media Name')" "$(disk "$1" Protocol)"
}

# users_of_device DEVICE: which of its parts are mounted where, a line each; an APFS container
# on it has a disk of its own.
users_of_device() {
    local whole=${1#/dev/} container
    for container in "$whole" $(diskutil list "$1" 2>/dev/null | sed -n 's/.*Container \(disk[0-9]*\).*/\1/p'); do
        mount | awk -v whole="/dev/$container" '
            $1 == whole || index($1, whole "s") == 1 {
                place = $0
                sub(/^[^ ]* on /, "", place)
                sub(/ \([^(]*\)$/, "", place)
                if (place == "/" || place ~ /^\/System\//) print "the running system has " $1 " at " place
                else print $1 " is mounted at " place
            }'
    done
}

# release_command DEVICE USERS: what ends all that users_of_device told.
release_command() {
    printf 'diskutil unmountDisk %s\n' "$1"
}

# lock_device DESCRIPTOR: macOS mounts nothing that has no partition table yet.
lock_device() {
    :
}

# release_device DEVICE: it may have been mounted as soon as it was a card.
release_device() {
    diskutil eject "$1" >/dev/null 2>&1 || true
}

# put_settings_on_card FILE CARD: FILE becomes pinhole.toml on the boot partition of a card file.
put_settings_on_card() {
    if command -v mcopy >/dev/null; then
        copy_with_mtools "$1" "$2"
        return
    fi
    local attached place advice='install mtools (brew install mtools) and run this again'
    attached=$(hdiutil attach -nobrowse -imagekey diskimage-class=CRawDiskImage "$2") ||
        fail "macOS cannot open the image; $advice"
    place=$(printf '%s\n' "$attached" | sed -n 's/.*[[:space:]]\(\/Volumes\/.*\)$/\1/p' | head -n 1)
    # Not cp, which brings along what macOS notes about a downloaded file.
    if ! cat "$1" >"$place/pinhole.toml" || ! cmp -s "$1" "$place/pinhole.toml"; then
        fail "cannot copy the enrolment to $place; $advice"
    fi
    hdiutil detach "$(printf '%s\n' "$attached" | awk 'NR == 1 { print $1 }')" >/dev/null ||
        fail "macOS does not let go of $place: eject it there and run this again"
}
