#!/usr/bin/env bash
# Runs a command in a fresh Debian that holds a clone of HEAD, git, the base system and nothing else:
#
#   CURFEW_CACHE=<folder> cmake/fresh.sh bookworm|trixie <command…>
#
# In the cache folder, outside the tree, stay the base system as a tarball, the packages that were downloaded, and a
# ccache: the second run is quick. Packages come from where this machine gets its own.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

die() { printf 'fresh: %s\n' "$*" >&2; exit 1; }

# In a mount and process namespace of its own: makes the system's file systems, then becomes the command.
enter() {
  local root=$1 cache=$2
  shift 2
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
  mount --bind "$cache/packages" "$root/var/cache/apt/archives"
  mount --bind "$cache/ccache" "$root/root/.cache/ccache"
  # Of this machine's environment: how it reaches the network, and what the user says to the script.
  local kept=() name
  for name in TERM CI CURFEW_JOBS http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    [[ -n ${!name:-} ]] && kept+=("$name=${!name}")
  done
  if [[ -s $root/etc/ssl/certs/ca-certificates.crt ]]; then
    kept+=("NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt")
  fi
  exec env -i "${kept[@]}" HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    chroot "$root" bash -c 'cd /root/curfew && exec "$@"' fresh "$@"
}
if [[ ${1:-} == --enter ]]; then
  shift
  enter "$@"
fi

# Read whole before it runs: the file may change while the command takes its time.
{
suite=${1:-}
[[ $suite == bookworm || $suite == trixie ]] || die "which Debian: bookworm (12) or trixie (13)?"
shift
(($#)) || die "no command"
((EUID == 0)) || die "a new system can be made by root only"

cache=$CURFEW_CACHE/fresh/$suite
mkdir -p "$cache"/{packages/partial,ccache,systems}

# Where this machine gets its packages: the archive of its own release, and that release's security updates.
this=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
source_of() {
  apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 2>/dev/null | awk -v r="$1" '$1 == r { print $2; exit }'
}
archive=$(source_of "$this")
security=$(source_of "$this-security")
[[ -n $archive && -n $security ]] || die "this machine's apt has no sources of its own release"

base=$cache/base.tar
make_base() {
  local began=$SECONDS work http_proxy=${http_proxy:-}
  rm -rf --one-file-system "$cache"/base.??????  # what an interrupted run has left
  work=$(mktemp -d "$cache/base.XXXXXX")
  printf 'fresh: making the base system of %s, once: %s\n' "$suite" "$base" >&2
  eval "$(apt-config shell http_proxy Acquire::http::Proxy)"  # which debootstrap does not ask for
  export http_proxy
  if ! unshare --mount debootstrap --variant=minbase --include=git,ca-certificates "$suite" "$work" "$archive" \
      </dev/null >"$cache/base.log" 2>&1; then
    rm -rf --one-file-system "$work"
    tail -n 20 "$cache/base.log" >&2
    die "debootstrap $suite failed; its log: $cache/base.log"
  fi
  rm -f "$work"/var/cache/apt/archives/*.deb
  tar -C "$work" -cf "$base.new" . && mv "$base.new" "$base"
  rm -rf --one-file-system "$work"
  printf 'fresh: made in %d s\n' $((SECONDS - began)) >&2
}
(
  flock 9
  [[ -s $base ]] || make_base
) 9>"$cache/base.lock"

# A system whose lock is free was left behind by a run that was killed.
exec 9>"$cache/systems.lock"
flock 9
for old in "$cache"/systems/*.lock; do
  [[ -e $old ]] || continue
  (flock -n 8 && rm -rf --one-file-system "${old%.lock}" "$old") 8<"$old" || true
done
root=$(mktemp -d "$cache/systems/XXXXXX")
exec 8>"$root.lock"
flock 8
exec 9>&-
inside=
cleanup() {
  # The mounts are in the namespace of the process below, and go with the last process in it.
  if [[ -n $inside ]]; then
    kill -KILL "$inside" 2>/dev/null || true
    wait "$inside" 2>/dev/null || true
  fi
  rm -rf --one-file-system "$root" "$root.lock"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

tar -C "$root" -xf "$base"
chmod 755 "$root"  # as any system's; mktemp's folder is for root alone, and servers run as other users
mkdir -p "$root/root/.cache/ccache"
cat >"$root/etc/apt/sources.list" <<END
deb $archive $suite main
deb $archive $suite-updates main
deb $security $suite-security main
END
# How this machine's apt reaches its sources.
apt-config dump | grep -E '^Acquire::(http|https|ftp|Check-|Retries|ForceIPv)' >"$root/etc/apt/apt.conf.d/90host" || true
printf 'force-unsafe-io\n' >"$root/etc/dpkg/dpkg.cfg.d/90fresh"  # the system lives for one command
printf 'APT::Keep-Downloaded-Packages "true";\nAPT::Sandbox::User "root";\n' >"$root/etc/apt/apt.conf.d/90fresh"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
  mkdir -p "$root/usr/local/share/ca-certificates"
  cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/"
  chroot "$root" update-ca-certificates >/dev/null 2>&1
fi
git clone -q "file://$PWD" "$root/root/curfew"

# A process and mount namespace of its own: when this script ends, however it ends, nothing of it stays.
setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child \
  bash "$PWD/cmake/fresh.sh" --enter "$root" "$cache" "$@" </dev/null 8>&- &
inside=$!
status=0
wait "$inside" || status=$?
inside=
exit "$status"
}
