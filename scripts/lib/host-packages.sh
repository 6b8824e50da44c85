# shellcheck shell=bash
# The Debian packages that the host needs, by purpose.
# Sourced, never run.
#
# Only what is missing is installed, and it is named first. The machine's own apt sources and
# architectures stay as they are: arm64 parts come through the private root in private-apt.sh.

# shellcheck source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

host_arch=$(dpkg --print-architecture 2>/dev/null) || host_arch=unknown

# packages_to PURPOSE: the packages for it.
packages_to() {
    case $1 in
    'build programs')
        echo ca-certificates gcc libc6-dev
        # mozjpeg's SIMD on x86 is written for nasm; without it the encoder is several times slower.
        [ "$host_arch" != amd64 ] || echo nasm
        ;;
    'build the card image')
        echo cpio dosfstools genimage kmod mtools squashfs-tools
        # For kernel, U-Boot, busybox and wpa_supplicant.
        echo bc bison bzip2 dpkg-dev flex make xxd xz-utils
        # A host that is arm64 links for the box with its own gcc.
        [ "$host_arch" = arm64 ] || echo gcc-aarch64-linux-gnu libc6-dev-arm64-cross
        ;;
    'build the yardsticks') echo e2fsprogs ;;
    'run the box') echo qemu-system-arm ;;
    'measure the relay')
        echo iproute2 motion nginx-light
        # From elsewhere they are as good, and Debian's would not go with them.
        command -v node >/dev/null || echo nodejs
        command -v npm >/dev/null || echo npm
        ;;
    'watch as viewers do') echo chromium ffmpeg ;;
    'watch with what people have')
        echo curl ffmpeg firefox-esr glib-networking gstreamer1.0-plugins-base gstreamer1.0-plugins-good
        echo gstreamer1.0-tools motion mpv nginx python3-aiohttp python3-opencv
        ;;
    'test the relay and its tunnel') echo curl faketime iproute2 pebble wireguard-go ;;
    "test the box's network") echo busybox iproute2 radvd ;;
    'package the relay') echo dpkg-dev jq ;;
    "check the relay's package") echo e2fsprogs genext2fs mmdebstrap qemu-system-x86 uidmap ;;
    'narrow an uplink') echo iproute2 ;;
    'fuzz') echo g++ ;;
    'check the scripts') echo git shellcheck xz-utils zstd ;;
    esac
}

missing_packages=()

# require_debian: ends the script unless this is Debian 12 or newer.
require_debian() {
    local system
    # shellcheck source=/dev/null
    system=$(. /etc/os-release 2>/dev/null && printf '%s %s' "${ID:-}" "${VERSION_ID:-testing}") || system=unknown
    case $system in
    'debian testing') ;;
    debian\ *) [ "${system#debian }" -ge 12 ] ;;
    *) false ;;
    esac || fail "this needs Debian 12 or newer; this machine is '$system'"
    case $host_arch in
    amd64 | arm64) ;;
    *) fail "this needs an amd64 or arm64 machine; this one is '$host_arch'" ;;
    esac
}

# require_packages PURPOSE: notes and names the packages for PURPOSE that are not installed.
require_packages() {
    local package missing=()
    for package in $(packages_to "$1"); do
        if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
            missing+=("$package")
        fi
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    printf 'To %s, these Debian packages are missing: %s\n' "$1" "${missing[*]}"
    missing_packages+=("${missing[@]}")
}

# install_packages: installs what require_packages noted, with sudo when not root.
install_packages() {
    [ "${#missing_packages[@]}" -gt 0 ] || return 0
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null ||
            fail "there is no sudo here; as root, run: apt-get install ${missing_packages[*]}"
        as_root=(sudo)
    fi
    step packages "Installing Debian packages" "Check the network and the machine's apt sources, then run this again." \
        apt_install "${as_root[@]}"
    missing_packages=()
}

# apt_install [sudo]: a source of the machine's own that cannot be reached stops only what
# would come from it, so the update may fail.
apt_install() {
    "$@" apt-get update || true
    "$@" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing_packages[@]}"
}
