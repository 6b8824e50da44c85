# shellcheck shell=bash
# The box's kernel, from Debian's source of Linux 6.12 with linux.config. Sourced, never run.

# shellcheck source=sources.sh
. "$(dirname "${BASH_SOURCE[0]}")/sources.sh"

# The Pis that linux.config is for.
device_trees=(
    bcm2711-rpi-{4-b,400,cm4-io}.dtb
    bcm2837-rpi-{3-a-plus,3-b,3-b-plus,zero-2-w}.dtb
)

# kernel_path: the directory of the built kernel, by what goes into it:
#
#   Image, dtb/, lib/modules/   what a slot holds
#   test-modules/               of the same kernel, as below lib/modules/, for the tests alone
kernel_path() {
    echo "$fetched/kernel-$(key "$(source_of linux-source-6.12)" "$(compiler)" \
        "$(sha256sum <"$board/linux.config")" "$(sha256sum <"$checkout/rig/modules.config")" \
        "$(sha256sum <"$checkout/scripts/lib/kernel.sh")")"
}

# build_kernel DIR
build_kernel() {
    local dir=$1 work="$1/work" tree
    mkdir "$work"
    dpkg-deb --extract "$sources/$(source_of linux-source-6.12)" "$work"
    mkdir "$work/linux"
    tar -C "$work/linux" --strip-components=1 -xf "$work/usr/src/linux-source-6.12.tar.xz"

    cp "$board/linux.config" "$work/linux/.config"
    make_kernel olddefconfig
    check_config "$board/linux.config" "$work/linux/.config"
    make_kernel Image modules "${device_trees[@]/#/broadcom/}"
    cp "$work/linux/arch/arm64/boot/Image" "$dir/"
    mkdir -p "$dir/dtb/broadcom"
    for tree in "${device_trees[@]}"; do
        cp "$work/linux/arch/arm64/boot/dts/broadcom/$tree" "$dir/dtb/broadcom/"
    done
    install_modules "$dir"
    build_test_modules "$dir"
    rm -r "$work"
}

# build_test_modules DIR: what rig/modules.config has besides. The kernel in DIR stays as it is;
# its modules, which were built once more, are left out.
build_test_modules() {
    local dir=$1 work="$1/work" version module
    cat "$checkout/rig/modules.config" >>"$work/linux/.config"
    make_kernel olddefconfig
    check_config "$checkout/rig/modules.config" "$work/linux/.config"
    make_kernel modules
    install_modules "$work/all"
    version=$(ls "$work/all/lib/modules")
    mkdir "$dir/test-modules"
    mv "$work/all/lib/modules/$version" "$dir/test-modules/"
    (cd "$dir/lib/modules" && find . -name '*.ko') | while read -r module; do
        rm "$dir/test-modules/$module"
    done
    find "$dir/test-modules" -type d -empty -delete
}

# make_kernel TARGET…: nothing in what it makes tells who made it where and when.
make_kernel() {
    make -C "$work/linux" -j "$(nproc)" ARCH=arm64 CROSS_COMPILE="$cross" LOCALVERSION= \
        KBUILD_BUILD_USER=pinhole KBUILD_BUILD_HOST=pinhole \
        KBUILD_BUILD_TIMESTAMP="$(date -u -r "$work/usr/src/linux-source-6.12.tar.xz")" "$@"
}

# install_modules DIR: into DIR/lib/modules/VERSION, with the lists of depmod.
install_modules() {
    make_kernel modules_install INSTALL_MOD_PATH="$1" INSTALL_MOD_STRIP=1
    rm -f "$1"/lib/modules/*/{build,source}
}
