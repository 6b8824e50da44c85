# shellcheck shell=bash
# Buildroot at the release that buildroot-external is made for, and how far a build of it is.
# Sourced, never run.

# shellcheck source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

external="$checkout/buildroot-external"
repositories=(https://gitlab.com/buildroot.org/buildroot.git https://github.com/buildroot/buildroot.git)

# pinned KEY: the tag or the commit of the release.
pinned() {
    sed -n "s/^$1=//p" "$external/buildroot.version"
}

# fetch_tree DIR: clones the pinned release. The commit's ID, which is a sum over all of it, says
# that it is the right one, wherever it came from.
fetch_tree() {
    local dir=$1 repository
    git init --quiet "$dir"
    for repository in ${PINHOLE_BUILDROOT_REPOSITORY:-"${repositories[@]}"}; do
        if git -C "$dir" fetch --depth 1 "$repository" "refs/tags/$(pinned tag)"; then
            [ "$(git -C "$dir" rev-parse 'FETCH_HEAD^{commit}')" = "$(pinned commit)" ] ||
                fail "$repository has another commit under $(pinned tag) than buildroot-external/buildroot.version says"
            git -C "$dir" -c advice.detachedHead=false checkout FETCH_HEAD
            return
        fi
    done
    fail "no repository of Buildroot can be reached"
}

# check_tree DIR: ends the script unless a tree that is there already is the pinned release.
check_tree() {
    local dir=$1 head version
    version=$(sed -n 's/^export BR2_VERSION := //p' "$dir/Makefile" 2>/dev/null) || version=''
    [ -n "$version" ] || fail "$dir holds no Buildroot"
    [ "$version" = "$(pinned tag)" ] || fail "$dir holds Buildroot $version; this needs $(pinned tag)"
    if [ -e "$dir/.git" ]; then
        head=$(git -c "safe.directory=$dir" -C "$dir" rev-parse HEAD)
        [ "$head" = "$(pinned commit)" ] || fail "$dir is at commit $head; this needs $(pinned commit)"
        [ -z "$(git -c "safe.directory=$dir" -C "$dir" status --porcelain)" ] ||
            echo "Mind: the files in $dir are not as that commit has them."
    else
        echo "Mind: $dir is no git checkout, so nothing but its version could be checked."
    fi
}

# Programs that Buildroot asks for (its support/dependencies), with their Debian packages.
build_tools=(which:debianutils sed:sed file:file make:make gcc:gcc g++:g++ patch:patch perl:perl
    tar:tar gzip:gzip bzip2:bzip2 xz:xz-utils wget:wget cpio:cpio unzip:unzip rsync:rsync bc:bc
    cmp:diffutils find:findutils awk:mawk git:git ld:binutils flock:util-linux)

# require_build_tools: ends the script if one is missing, and names all that are.
require_build_tools() {
    local tool programs=() packages=()
    for tool in "${build_tools[@]}"; do
        command -v "${tool%%:*}" >/dev/null || { programs+=("${tool%%:*}") && packages+=("${tool##*:}"); }
    done
    perl -MData::Dumper -MEnglish -MExtUtils::MakeMaker -MThread::Queue -MFindBin -MIPC::Cmd -e 1 2>/dev/null ||
        { programs+=("perl's core modules") && packages+=(perl); }
    # For the bill of materials.
    python3 -c 'import tomllib' 2>/dev/null || { programs+=("python3 of 3.11 or newer") && packages+=(python3); }
    [ "${#programs[@]}" -eq 0 ] ||
        fail "Buildroot needs programs that are missing here: ${programs[*]}. On Debian and its kin: sudo apt-get install ${packages[*]}"
}

# The packages that take longest, in seconds on two cores; others take about five. Only their
# proportions matter: the rest of the build tells how fast this machine is.
long_packages='linux=510 pinhole=200 libopenssl=120 host-rust-bin=60 uboot=40 host-zstd=25'

# progress LOG PACKAGES: one line out of Buildroot's build-time.log, which goes on growing over
# interruptions: how many of the packages in the file PACKAGES are done, what is being built, and
# how long the rest will take.
progress() {
    awk -F '[: ]+' -v long="$long_packages" '
        function weight(package) { return package in long_weight ? long_weight[package] : 5 }
        BEGIN {
            count = split(long, pairs, " ")
            for (i = 1; i <= count; i++) { split(pairs[i], pair, "="); long_weight[pair[1]] = pair[2] }
        }
        FNR == NR { planned[$1]; total++; next }
        !($4 in planned) { next }
        $2 == "start" { start[$4] = $1; current = $4; step = $3 }
        $2 == "end" { spent[$4] += $1 - start[$4] }
        $2 == "end" && $3 ~ /^install/ { done[$4] }
        END {
            for (package in planned)
                if (package in done) { number++; done_weight += weight(package); done_time += spent[package] }
                else left += weight(package)
            printf "%d of %d packages done; %s: %s", number, total, current, step
            if (done_weight > 60) printf "; about %d min left", left * done_time / done_weight / 60 + 1
            printf "\n"
        }' "$2" "$1"
}
