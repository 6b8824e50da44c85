# shellcheck shell=bash
# The sources of what the box is made of beside the firmware, as Debian packages them: kernel,
# boot loader, DHCP client and Wi-Fi. Sourced, never run.
#
# Buildroot takes the same programs from their makers, with its own hashes. Debian's are for the
# tests of our configurations: they come signed, through an archive that is near everywhere.

# shellcheck source=private-apt.sh
. "$(dirname "${BASH_SOURCE[0]}")/private-apt.sh"

# Where the box's configurations are.
board="$checkout/buildroot-external/board/pinhole"
# Compiles for the box.
cross=aarch64-linux-gnu-

# Each with the releases of Debian to take it from, the one that is nearest to Buildroot's first.
source_packages=('u-boot trixie sid' 'busybox trixie sid' 'wpa bookworm trixie')
# The kernel's source is in a binary package; so are the libraries that wpa_supplicant is linked
# with, and the rules of each country's radio.
source_debs=(linux-source-6.12 wireless-regdb {libssl-dev,libnl-3-dev,libnl-genl-3-dev}:arm64)
sources="$fetched/sources-$(key "${source_packages[@]}" "${source_debs[@]}")"

# fetch_sources: downloads what is named above into $sources.
fetch_sources() {
    [ ! -d "$sources" ] || return 0
    step sources "Fetching the sources of kernel, U-Boot, busybox and wpa_supplicant (about 200 MB)" \
        "Check the network, then run this again." \
        make_once "$sources" download_sources
}

# download_sources DIR
download_sources() {
    local package
    update_private_apt
    cd "$1" || return
    private_apt apt-get download "${source_debs[@]}"
    for package in "${source_packages[@]}"; do
        # shellcheck disable=SC2086 # a list of words
        download_source $package
    done
}

# download_source NAME RELEASE…: from the first release whose files are all in the archive.
download_source() {
    local name=$1 release
    shift
    for release in "$@"; do
        if private_apt apt-get source --download-only --only-source "$name/$release"; then
            return
        fi
        echo "the sources of $name in $release are not whole in the archive"
        rm -f "${name}"_*
    done
    fail "Debian's archive offers no sources of $name"
}

# source_of NAME: the file that the sources of the package NAME are in; it names their version.
source_of() {
    local found
    found=$(cd "$sources" && ls -d "$1"_*.dsc "$1"_*.deb 2>/dev/null)
    [ -n "$found" ] || fail "$sources has no sources of $1: remove that directory, then run this again"
    echo "$found"
}

# unpack_source NAME DIR: the sources of the package NAME, with Debian's patches, as DIR.
unpack_source() {
    dpkg-source --no-check --extract "$sources/$(source_of "$1")" "$2"
}

# compiler: which compiler builds for the box, with its version.
compiler() {
    "${cross}gcc" --version | head -n 1
}

# check_config WANTED BUILT: see check-linux-config.
check_config() {
    "$board/check-linux-config" "$1" "$2"
}
