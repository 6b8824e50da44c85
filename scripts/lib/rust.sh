# shellcheck shell=bash
# Which Rust builds what. Sourced, never run.
#
# The box is always built with Debian's rustc-web, unpacked privately (installed, it conflicts
# with rustup). The host's programs are built with the user's own cargo when that is new
# enough, else with Debian's too.

# shellcheck source=private-apt.sh
. "$(dirname "${BASH_SOURCE[0]}")/private-apt.sh"

cargo_home="${CARGO_HOME:-${HOME:?has to be set: cargo keeps there what it downloads}/.cargo}"
rust_version=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$checkout/Cargo.toml")
rust_packages=(rustc-web cargo-web libstd-rust-web-dev rustfmt-web rust-web-clippy)
case $host_arch in
arm64) host_multiarch=aarch64-linux-gnu ;;
*) host_multiarch=x86_64-linux-gnu ;;
esac
box_target=aarch64-unknown-linux-gnu

# Named by its inputs: the host's release decides which libraries have to come along, and this
# file how all is put together.
rust="$fetched/rust-$(key "${rust_packages[@]}" "$rust_version" "$host_arch" \
    "$(cat /etc/debian_version)" "$(sha256sum <"${BASH_SOURCE[0]}")")"

# is_new_enough VERSION: whether VERSION is at least the workspace's rust-version.
is_new_enough() {
    [ -n "$1" ] && dpkg --compare-versions "$1" ge "$rust_version"
}

# has_own_rust: whether the user's cargo and rustc are new enough.
has_own_rust() {
    local cargo rustc
    cargo=$(cargo --version 2>/dev/null | awk '{ print $2 }')
    rustc=$(rustc --version 2>/dev/null | awk '{ print $2 }')
    is_new_enough "$cargo" && is_new_enough "$rustc"
}

# choose_host_rust: puts a cargo that is new enough first on the PATH.
choose_host_rust() {
    # rustup's usual place, which a shell that is not a login shell may not know.
    search_last "$cargo_home/bin"
    has_own_rust || use_debian_rust
}

# use_debian_rust: puts Debian's Rust first on the PATH.
use_debian_rust() {
    fetch_rust
    search_first "$rust/bin"
}

# fetch_rust: unpacks Debian's Rust, for this host and for the box, into $rust.
fetch_rust() {
    [ ! -d "$rust" ] || return 0
    step rust "Fetching Debian's Rust for the box (about 200 MB)" \
        "Check the network, then run this again." \
        make_once "$rust" unpack_rust
}

# unpack_rust DIR: the newest version whose files are all in the archive.
unpack_rust() {
    local dir=$1 version
    update_private_apt
    for version in $(versions_of rustc-web); do
        if ! is_new_enough "$version"; then
            break
        fi
        if unpack "$dir" "${rust_packages[@]/%/=$version}" "libstd-rust-web-dev:arm64=$version"; then
            unpack_rust_libraries "$dir" "$version"
            write_rust_wrappers "$dir"
            "$dir/bin/rustc" --version
            "$dir/bin/cargo" --version
            return
        fi
        echo "rustc-web $version is not whole in the archive, trying an older one"
    done
    fail "Debian's archive offers no rustc-web of version $rust_version or newer"
}

# unpack_rust_libraries DIR VERSION: what Debian's Rust is linked with. Of those libraries,
# only the ones that the host lacks are kept, so that gcc and others, which inherit
# LD_LIBRARY_PATH from cargo, never meet a second copy of one of their own.
unpack_rust_libraries() {
    local dir=$1 version=$2 needed installed library name
    needed=$(private_apt apt-cache show "${rust_packages[@]/%/=$version}" |
        sed -n 's/^Depends: //p' | tr ',' '\n' | awk '/^ *lib/ && !/-dev( |$)/ { print $1 }' | sort -u)
    # shellcheck disable=SC2086 # a list of words
    needed=$(private_apt apt-get -s --no-install-recommends install $needed |
        awk '/^Inst lib/ && $2 !~ /^(libc6|libgcc-s1|libstdc\+\+6)$/ { print $2 }')
    mkdir -p "$dir/libraries"
    # shellcheck disable=SC2086
    unpack "$dir/libraries" $needed
    installed=$(ldconfig -p | awk -v dir="/$host_multiarch/" 'index($0, dir) { print $1 }')
    for library in "$dir/libraries"{,/usr}/lib/"$host_multiarch"/lib*.so*; do
        name=$(basename "$library")
        if [ "$name" = "$(objdump -p "$library" 2>/dev/null | awk '$1 == "SONAME" { print $2 }')" ] &&
            ! grep -qxF -e "$name" <<<"$installed"; then
            cp -L "$library" "$dir/usr/lib/"
        fi
    done
    rm -rf "$dir/libraries"
}

# write_rust_wrappers DIR: bin/cargo and its companions, which find their own libraries. In bash,
# because Debian's sh drops variables with a hyphen, such as cargo's CARGO_BIN_EXE_pinhole-relay.
write_rust_wrappers() {
    local dir=$1 program
    mkdir -p "$dir/bin"
    for program in "$dir"/usr/bin/*; do
        cat >"$dir/bin/$(basename "$program")" <<EOF
#!/bin/bash
rust=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
LD_LIBRARY_PATH="\$rust/usr/lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
export LD_LIBRARY_PATH
exec "\$rust/usr/bin/$(basename "$program")" "\$@"
EOF
        chmod +x "$dir/bin/$(basename "$program")"
    done
}

# build_for_host PACKAGE…: release builds for this machine.
build_for_host() {
    cd "$checkout" || return
    cargo build --locked --release "${@/#/--package=}"
}

# build_for_box PACKAGE…: static binaries for the box, the same whoever builds them wherever.
build_for_box() {
    cargo_for_box build "${@/#/--package=}"
}

# build_test_for_box PACKAGE TEST FILE: one integration test of a package, as a static binary.
build_test_for_box() {
    local program
    program=$(cargo_for_box test --no-run "--package=$1" "--test=$2" \
        --message-format=json-render-diagnostics |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
    install "$program" "$3"
}

# cargo_for_box COMMAND ARGUMENT…
cargo_for_box() {
    local command=$1 flags=(
        -C target-feature=+crt-static
        "--remap-path-prefix=$cargo_home=/cargo"
        "--remap-path-prefix=$CARGO_TARGET_DIR=/target"
        "--remap-path-prefix=$checkout=/pinhole"
    )
    shift
    cd "$checkout" || return
    CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && printf '%s' "${flags[*]}") \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
        RUSTC="$rust/bin/rustc" \
        cargo "$command" --locked --release "--target=$box_target" "$@"
}
