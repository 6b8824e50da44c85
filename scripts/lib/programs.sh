# shellcheck shell=bash
# The static programs beside the firmware: busybox as a DHCP client, wpa_supplicant with the rules
# of each country's radio, and for the tests hostapd. Sourced, never run.

# shellcheck source=sources.sh
. "$(dirname "${BASH_SOURCE[0]}")/sources.sh"

# What wpa_supplicant and hostapd can: nl80211, WPA2 and WPA3. Only with OpenSSL have they SAE.
wpa_options=(
    CONFIG_DRIVER_NL80211=y
    CONFIG_LIBNL32=y
    CONFIG_CTRL_IFACE=y
    CONFIG_IEEE80211W=y
    CONFIG_SAE=y
    CONFIG_TLS=openssl
    CONFIG_NO_RANDOM_POOL=y
    CONFIG_GETRANDOM=y
)
wpa_supplicant_options=(
    CONFIG_BACKEND=file
    CONFIG_BGSCAN_SIMPLE=y
)
hostapd_options=(
    CONFIG_NO_ACCOUNTING=y
    CONFIG_NO_RADIUS=y
)

# programs_path: the directory of the programs and regulatory.db, by what goes into them.
programs_path() {
    echo "$fetched/programs-$(key "$(compiler)" "$(source_of busybox)" "$(source_of wpa)" \
        "$(source_of libssl-dev)" "$(source_of libnl-3-dev)" "$(source_of wireless-regdb)" \
        "$(sha256sum <"$board/busybox.config")" "$(sha256sum <"$checkout/scripts/lib/programs.sh")")"
}

# build_programs DIR
build_programs() {
    local dir=$1 work="$1/work" deb
    mkdir "$work"
    build_busybox
    for deb in libssl-dev libnl-3-dev libnl-genl-3-dev; do
        dpkg-deb --extract "$sources/$(source_of "$deb")" "$work/sysroot"
    done
    unpack_source wpa "$work/wpa"
    build_wpa wpa_supplicant "${wpa_supplicant_options[@]}"
    build_wpa hostapd "${hostapd_options[@]}"
    dpkg-deb --extract "$sources/$(source_of wireless-regdb)" "$work/regdb"
    cp "$work/regdb/lib/firmware/regulatory.db-upstream" "$dir/regulatory.db"
    rm -r "$work"
}

# build_busybox: with nothing of its defaults but what busybox.config leaves.
build_busybox() {
    local make=(make -C "$work/busybox" -j "$(nproc)" CROSS_COMPILE="$cross"
        KCONFIG_NOTIMESTAMP=1 SKIP_STRIP=y)
    unpack_source busybox "$work/busybox"
    cp "$board/busybox.config" "$work/busybox/.config"
    echo CONFIG_STATIC=y >>"$work/busybox/.config"
    # It asks about each option that is missing; an empty line takes the default.
    "${make[@]}" oldconfig < <(yes '')
    check_config "$board/busybox.config" "$work/busybox/.config"
    "${make[@]}" busybox
    "${cross}strip" -o "$dir/busybox" "$work/busybox/busybox"
}

# build_wpa PROGRAM OPTION…
build_wpa() {
    local program=$1 root="$work/sysroot" libraries=aarch64-linux-gnu
    shift
    printf '%s\n' "${wpa_options[@]}" "$@" >"$work/wpa/$program/.config"
    CFLAGS="-O2 -MMD -ffunction-sections -fdata-sections -I$root/usr/include/$libraries \
        -I$root/usr/include -I$root/usr/include/libnl3" \
        LDFLAGS="-static -Wl,--gc-sections -L$root/usr/lib/$libraries -L$root/lib/$libraries" \
        make -C "$work/wpa/$program" -j "$(nproc)" CC="${cross}gcc" PKG_CONFIG=false "$program"
    "${cross}strip" -o "$dir/$program" "$work/wpa/$program/$program"
}
