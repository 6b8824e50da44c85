# shellcheck shell=bash
# Prometheus's own checker of metrics, unpacked privately: the package installed would start a
# server. Sourced, never run.

# shellcheck source=private-apt.sh
. "$(dirname "${BASH_SOURCE[0]}")/private-apt.sh"

promtool="$fetched/promtool"

# fetch_promtool: puts promtool on the PATH.
fetch_promtool() {
    if [ ! -d "$promtool" ]; then
        step promtool "Fetching promtool" "Check the network, then run this again." \
            make_once "$promtool" unpack_promtool
    fi
    search_last "$promtool/usr/bin"
}

# unpack_promtool DIR
unpack_promtool() {
    update_private_apt
    unpack "$1" prometheus
    find "$1" -type f ! -name promtool -delete
}
