# shellcheck shell=bash
# U-Boot for the Pi and for QEMU's virt, both from one fragment and one environment. Sourced,
# never run.

# shellcheck source=sources.sh
. "$(dirname "${BASH_SOURCE[0]}")/sources.sh"

# u_boot_path: the directory of rpi.bin and qemu.bin, by what goes into them.
u_boot_path() {
    echo "$fetched/u-boot-$(key "$(source_of u-boot)" "$(compiler)" \
        "$(sha256sum <"$board/uboot.fragment")" "$(sha256sum <"$board/uboot.env")" \
        "$(sha256sum <"$checkout/scripts/lib/u-boot.sh")")"
}

# build_u_boot DIR
build_u_boot() {
    local dir=$1 work="$1/work" machine
    mkdir "$work"
    unpack_source u-boot "$work/source"
    for machine in rpi qemu; do
        mkdir "$work/$machine"
        make_u_boot "${machine}_arm64_defconfig"
        {
            cat "$board/uboot.fragment"
            echo "CONFIG_DEFAULT_ENV_FILE=\"$board/uboot.env\""
        } >>"$work/$machine/.config"
        make_u_boot olddefconfig
        check_config "$board/uboot.fragment" "$work/$machine/.config"
        make_u_boot u-boot.bin
        cp "$work/$machine/u-boot.bin" "$dir/$machine.bin"
    done
    rm -r "$work"
}

# make_u_boot TARGET: for $machine, with the time of the source in its banner.
make_u_boot() {
    SOURCE_DATE_EPOCH=$(stat -c %Y "$sources/$(source_of u-boot)") \
        make -C "$work/source" O="$work/$machine" -j "$(nproc)" CROSS_COMPILE="$cross" "$1"
}
