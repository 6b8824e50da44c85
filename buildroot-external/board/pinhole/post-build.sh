#!/usr/bin/env bash
# Finishes the root, then checks it: Buildroot's post-build hook, which runs on every `make`.
# Buildroot passes the root as $1 and the rest in the environment.
set -euo pipefail

root=$1
board=$(dirname "$0")
checkout=$(realpath "$board/../../..")

# build_time: the commit's, below which the box never sets its clock. Outside git, that of the
# file that every change of what is built touches.
build_time() {
    git -c "safe.directory=$checkout" -C "$checkout" log -1 --format=%ct 2>/dev/null ||
        stat -c %Y "$checkout/Cargo.lock"
}

# identify: completes the overlay's os-release, over which Buildroot has written its own.
identify() {
    rm -f "$root/usr/lib/os-release" "$root/etc/os-release"
    cp "$checkout/images/root/etc/os-release" "$root/etc/os-release"
    cat >>"$root/etc/os-release" <<EOF
VERSION_ID=$(sed -n '/^\[workspace.package\]/,/^$/ s/^version = "\(.*\)"/\1/p' "$checkout/Cargo.toml")
PINHOLE_BUILD_TIME=$(build_time)
EOF
}

# place_device_trees: where U-Boot's environment looks for them.
place_device_trees() {
    if [ -d "$root/boot/broadcom" ]; then
        rm -rf "$root/boot/dtb"
        mkdir "$root/boot/dtb"
        mv "$root/boot/broadcom" "$root/boot/dtb/"
    fi
}

# remove_unused: what packages install for systems with a shell, a login or a package manager.
# The firmware reads the text forms of what modprobe reads.
remove_unused() (
    cd "$root"
    rm -rf etc/{hostname,hosts,ld.so.conf.d,libnl,mtab,network,nsswitch.conf,profile.d,shells,ssl,wpa_supplicant.conf} \
        media mnt opt root var usr/share usr/lib/{engines-3,gconv,ossl-modules}
    find lib/modules/*/ -maxdepth 1 \( -type f ! -name modules.alias ! -name modules.builtin \
        ! -name modules.dep ! -name modules.softdep -o -type l \) -delete
)

# remove_libraries: all but those that a program is linked with, itself or through another.
remove_libraries() (
    cd "$root"
    declare -A needed
    mapfile -t linked < <(find bin sbin usr/{bin,sbin} -type f)
    for ((i = 0; i < ${#linked[@]}; i++)); do
        while read -r name; do
            [ -z "${needed[$name]:-}" ] || continue
            library=$(find lib usr/lib -name "$name" -print -quit)
            needed[$name]=yes
            needed[$(basename "$(readlink -f "$library")")]=yes
            linked+=("$library")
        done < <(readelf --dynamic "${linked[i]}" |
            sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p')
    done
    find lib usr/lib -maxdepth 1 -name '*.so*' | while read -r library; do
        [ -n "${needed[$(basename "$library")]:-}" ] || rm "$library"
    done
)

place_device_trees
remove_unused
remove_libraries
identify
"$board/check-linux-config" "$board/linux.config" "$BUILD_DIR"/linux-[0-9c]*/.config
