# shellcheck shell=bash
# shellcheck disable=SC2154 # write-card sets $work
# The card as a file: the image unpacked and checked, the camera's settings put on it. Sourced by
# write-card, whose `fail` and `$work` it uses.

mebibyte=1048576
# "PINH" in the MBR, little-endian, as images/card.cfg has it.
card_signature=1346981448
# Larger ones are no pinhole.toml.
largest_settings=65536

# sha256 FILE: its sum.
sha256() {
    if command -v sha256sum >/dev/null; then
        sha256sum <"$1"
    else
        shasum -a 256 <"$1"
    fi | cut -d ' ' -f 1
}

size_of_file() {
    wc -c <"$1" | tr -d ' '
}

# number FILE OFFSET: the 32-bit little-endian number there, as the MBR has them.
number() {
    # shellcheck disable=SC2046 # four words
    set -- $(od -An -tu1 -j "$2" -N 4 "$1")
    printf '%d\n' $(($1 | $2 << 8 | $3 << 16 | $4 << 24))
}

# unpacker FILE: the program that unpacks it, by what the file begins with; cat for a plain one.
unpacker() {
    case $(od -An -tx1 -N 4 "$1" | tr -d ' \n') in
    fd377a58) echo xz ;;
    28b52ffd) echo zstd ;;
    1f8b*) echo gzip ;;
    *) echo cat ;;
    esac
}

# unpack_image IMAGE CARD: makes the file CARD of the image.
unpack_image() {
    local packed=$1 file=$2 program said
    if [ ! -f "$packed" ] || [ ! -r "$packed" ]; then
        fail "there is no image $packed"
    fi
    if [ -f "$packed.sha256" ]; then
        [ "$(sha256 "$packed")" = "$(head -n 1 "$packed.sha256" | cut -c 1-64)" ] ||
            fail "$packed is damaged: its sum is not the one in $packed.sha256; fetch it again"
    fi
    program=$(unpacker "$packed")
    command -v "$program" >/dev/null || fail "to unpack $packed, install $program"
    [ "$program" = cat ] || program="$program -dc"
    { : >"$file"; } 2>/dev/null || fail "cannot write $file"
    # Not into a file: the disk may be full.
    if ! said=$($program 2>&1 <"$packed" >"$file"); then
        said=${said##*: }
        case $said in
        'No space'* | 'File too large'*) fail "cannot unpack $packed into $(dirname "$file"): $said; TMPDIR=DIR names another place" ;;
        *) fail "$packed is truncated or damaged ($said); fetch it again" ;;
        esac
    fi
}

# require_whole_card IMAGE CARD: ends the script unless CARD, which IMAGE held, has pinhole's
# partition table and all that it speaks of.
require_whole_card() {
    local file=$2 size entry last end=0
    size=$(size_of_file "$file")
    if [ "$size" -lt 512 ] || [ "$(number "$file" 440)" -ne "$card_signature" ] ||
        [ "$(od -An -tx1 -j 510 -N 2 "$file" | tr -d ' ')" != 55aa ]; then
        fail "$1 is no card image of pinhole"
    fi
    for entry in 446 462 478 494; do
        last=$((($(number "$file" $((entry + 8))) + $(number "$file" $((entry + 12)))) * 512))
        end=$((last > end ? last : end))
    done
    if [ "$size" -lt "$end" ] || [ $((size % mebibyte)) -ne 0 ]; then
        fail "$1 is truncated: it has $size bytes and its partitions need $end; fetch it again"
    fi
}

# plain FILE: its lines without what editors of other systems add.
plain() {
    sed -e $'1s/^\xef\xbb\xbf//' -e $'s/\r$//' "$1"
}

# camera_of FILE: the name of the camera that FILE enrols. Ends the script unless it is what the
# relay wrote, settings added or not. What it holds is never shown: there is a key in it.
camera_of() {
    local found key
    [ -f "$1" ] || fail "there is no file $1; make an enrolment with: pinhole-relay camera add NAME"
    [ -r "$1" ] || fail "$1 cannot be read: it belongs to somebody else"
    [ "$(size_of_file "$1")" -le "$largest_settings" ] || fail "$1 is too large to be an enrolment"
    found=$(plain "$1" | awk '
        /^[ \t]*\[/ { section = $0; gsub(/[][ \t]|#.*/, "", section) }
        /^[ \t]*[a-z_]+[ \t]*=[ \t]*"[^"]+"/ {
            split($0, parts, "\"")
            key = $0
            sub(/[ \t]*=.*/, "", key); sub(/^[ \t]*/, "", key)
            if (key !~ /_key$/ || (length(parts[2]) == 44 && parts[2] ~ /^[A-Za-z0-9+\/]+=$/))
                print section "." key
            if (section "." key == "enrolment.camera") print "camera " parts[2]
        }')
    for key in enrolment.camera enrolment.private_key enrolment.address \
        enrolment.relay.endpoint enrolment.relay.public_key enrolment.relay.address; do
        case $'\n'$found$'\n' in
        *$'\n'$key$'\n'*) ;;
        *) fail "$1 is no enrolment: ${key##*.} in [${key%.*}] is missing or damaged; make one with: pinhole-relay camera add NAME" ;;
        esac
    done
    printf '%s\n' "$found" | sed -n 's/^camera //p'
}

# compose_settings ENROLMENT WIFI COUNTRY: the camera's pinhole.toml; with a [wifi] section of a
# password that is asked for, where WIFI names a network.
compose_settings() {
    local password
    if [ -z "$2" ]; then
        [ -z "$3" ] || fail "--country goes with --wifi NAME"
        cat "$1"
        return
    fi
    require_network_name "$2"
    case $3 in
    [A-Z][A-Z]) ;;
    '') fail "Wi-Fi needs to know where the camera is: add --country XX, such as --country DE" ;;
    *) fail "--country takes two capital letters, such as DE, not \"$3\"" ;;
    esac
    case $'\n'$(plain "$1") in
    *$'\n[wifi]'*) fail "$1 has a [wifi] section already: leave --wifi out, or remove the section" ;;
    esac
    password=$(ask_password "$2")
    cat "$1"
    printf '\n[wifi]\nssid = %s\n' "$(quoted "$2")"
    [ -z "$password" ] || printf 'password = %s\n' "$(quoted "$password")"
    printf 'country = "%s"\n' "$3"
}

require_network_name() {
    [ "${#1}" -le 32 ] || fail "no Wi-Fi network has a name of ${#1} bytes: 32 are the most"
    case $1 in *[[:cntrl:]]*) fail "a Wi-Fi name with control characters goes into pinhole.toml by hand" ;; esac
}

# ask_password NETWORK: reads its password, without showing it.
ask_password() {
    local password=''
    if [ -t 0 ]; then
        printf 'Password of the Wi-Fi network "%s" (it is not shown; empty if there is none): ' "$1" >&2
    fi
    IFS= read -rs password || true
    [ ! -t 0 ] || printf '\n' >&2
    case $password in *[[:cntrl:]]*) fail "a Wi-Fi password with control characters goes into pinhole.toml by hand" ;; esac
    case ${#password} in
    0) printf 'No password: the camera joins "%s" as an open network.\n' "$1" >&2 ;;
    64) case $password in *[!0-9a-fA-F]*) fail "a Wi-Fi password of 64 characters is a key, of 0-9 and a-f alone" ;; esac ;;
    [1-7]) fail "a Wi-Fi password has at least 8 characters" ;;
    *) [ "${#password}" -le 63 ] || fail "a Wi-Fi password has at most 63 characters" ;;
    esac
    printf '%s\n' "$password"
}

# quoted TEXT: as a TOML basic string.
quoted() {
    printf '"%s"' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')"
}

# copy_with_mtools FILE CARD: FILE becomes pinhole.toml on the boot partition, which is the first.
copy_with_mtools() {
    local boot
    boot="$2@@$(($(number "$2" 454) * 512))"
    if ! mcopy -o -i "$boot" "$1" ::pinhole.toml 2>"$work/said" ||
        ! mcopy -i "$boot" ::pinhole.toml - 2>"$work/said" | cmp -s - "$1"; then
        fail "cannot put the enrolment on the image's boot partition: $(tail -n 1 "$work/said")"
    fi
}
