# shellcheck shell=bash
# An apt of our own beside the machine's: Debian 12's archive for this host and for arm64, and the
# sources of that and of later ones. Packages are downloaded and unpacked, never installed. Needs
# no root.
# Sourced, never run.
#
# What is unpacked stays as it is; to take newer packages, remove build/fetched.

# shellcheck source=host-packages.sh
. "$(dirname "${BASH_SOURCE[0]}")/host-packages.sh"

# What comes from the archive. It may lie outside the checkout, so that CI can keep it.
fetched="${PINHOLE_CACHE:-$build_dir/fetched}"
archive="${PINHOLE_DEBIAN_ARCHIVE:-http://deb.debian.org}"
archive_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# private_apt COMMAND…: an apt program on the private root.
private_apt() {
    APT_CONFIG="$fetched/apt/apt.conf" "$@"
}

# update_private_apt: makes the private root and fetches the archive's lists, once a script, one
# script at a time.
update_private_apt() {
    [ -z "${private_apt_is_fresh:-}" ] || return 0
    mkdir -p "$fetched"
    (
        flock 9
        make_private_apt
        private_apt apt-get -o APT::Update::Error-Mode=any update
    ) 9>"$fetched/apt.lock"
    private_apt_is_fresh=yes
}

# make_private_apt: writes the root's settings.
make_private_apt() {
    [ -e "$archive_keyring" ] || fail "$archive_keyring is missing: install debian-archive-keyring"
    local root="$fetched/apt"
    mkdir -p "$root"/etc/{apt.conf,preferences}.d "$root"/{state/lists,cache/archives}/partial
    : >"$root/state/status"
    printf "%s [signed-by=$archive_keyring] $archive/%s %s main\n" \
        deb debian bookworm \
        deb debian bookworm-updates \
        deb debian-security bookworm-security \
        deb-src debian bookworm \
        deb-src debian-security bookworm-security \
        deb-src debian trixie \
        deb-src debian-security trixie-security >"$root/etc/sources.list"
    # A mirror that stopped following sid, whose lists are valid for a week, has the sources still.
    echo "deb-src [signed-by=$archive_keyring check-valid-until=no] $archive/debian sid main" \
        >>"$root/etc/sources.list"
    cat >"$root/apt.conf" <<EOF
Dir::Etc "$root/etc/";
Dir::State "$root/state/";
Dir::State::status "$root/state/status";
Dir::Cache "$root/cache/";
APT::Architecture "$host_arch";
APT::Architectures { "$host_arch"; "arm64"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
EOF
    # The machine's way to the network: its proxies and its rules for them.
    apt-config dump Acquire | grep -iE '^Acquire::(https?|Check-)' >>"$root/apt.conf" || true
}

# versions_of PACKAGE: the versions that the archive offers, newest first.
versions_of() {
    private_apt apt-cache madison "$1" | awk '$NF == "Packages" { print $3 }' | sort -Vru
}

# unpack DIR PACKAGE…: downloads packages (NAME[:ARCH][=VERSION]) and unpacks them into DIR.
unpack() {
    local dir=$1 downloads deb
    shift
    downloads=$(mktemp -d "$dir/download.XXXXXX") || return
    if ! (cd "$downloads" && private_apt apt-get download "$@"); then
        rm -rf "$downloads"
        return 1
    fi
    for deb in "$downloads"/*.deb; do
        dpkg-deb -x "$deb" "$dir" || return
    done
    rm -rf "$downloads"
}

# arm64_apt COMMAND…: an apt program that takes arm64 for this machine's own architecture.
arm64_apt() {
    local program=$1
    shift
    private_apt "$program" -o APT::Architecture=arm64 "$@"
}

# unpack_with_dependencies DIR PACKAGE…: the packages and all that they need.
unpack_with_dependencies() {
    local dir=$1 needed
    shift
    needed=$(arm64_apt apt-get -s --no-install-recommends install "$@" |
        sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*\[\(.*\)\]).*/\1:\3=\2/p' | sed 's/:all=/=/')
    # shellcheck disable=SC2086 # a list of words
    unpack "$dir" $needed
}
