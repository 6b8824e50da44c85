# shellcheck shell=bash
# The guest in which the tunnel's tests have a kernel with WireGuard: the box's own, which not every
# machine that builds has. Sourced, never run.

# shellcheck source=rust.sh
. "$(dirname "${BASH_SOURCE[0]}")/rust.sh"

tunnel_guest="$build_dir/tunnel-guest"
guest_busybox="$fetched/guest-busybox"

# make_tunnel_guest: builds the tests, and the guest's card as $tunnel_guest/card.img.
make_tunnel_guest() {
    fetch_rust
    [ -d "$guest_busybox" ] || step guest-busybox "Fetching busybox for arm64" \
        "Check the network, then run this again." \
        make_once "$guest_busybox" unpack_guest_busybox
    rm -rf "$tunnel_guest"
    step tunnel-guest "Building the tunnel's tests for arm64 (minutes, the first time)" "" \
        make_once "$tunnel_guest" assemble_tunnel_guest
}

# unpack_guest_busybox DIR: one with a shell, which the box's has not.
unpack_guest_busybox() {
    update_private_apt
    unpack "$1" busybox-static:arm64
    find "$1" -type f ! -name busybox -delete
}

# assemble_tunnel_guest DIR
assemble_tunnel_guest() {
    local dir=$1 root="$1/root"
    mkdir -p "$root"/{bin,dev,etc,proc,sys,tmp}
    install "$guest_busybox/bin/busybox" "$root/bin/busybox"
    install -m 644 "$checkout/rig/tunnel-guest/init" "$root/etc/tunnel-init"
    build_test_for_box pinhole-link tunnel "$root/bin/tunnel"
    mksquashfs "$root" "$dir/card.img" -noappend -no-progress -all-root -comp zstd
    # QEMU's cards have a power of two.
    truncate --size=16M "$dir/card.img"
    rm -r "$root"
}
