# Sourced by the run scripts: brings in what is missing, configures and builds. The caller sets `root`.
# Quiet where all is well; on failure the log is shown and the script ends.

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# Runs a command with its output in a log; shows the end of the log where it fails.
logged() {
  local log=$1; shift
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 || { local rc=$?; tail -n 60 "$log" >&2; say "(the whole log: $log)"; return $rc; }
}

# need_packages PACKAGE...: installs those Debian packages that are missing, as root; otherwise says which.
need_packages() {
  local missing=() package
  command -v dpkg-query >/dev/null || { need_commands; return; }
  for package; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || die "these packages are missing: sudo apt-get install ${missing[*]}"
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  logged "$root/build/log/apt.txt" apt-get update -q || die "apt-get update failed"
  logged "$root/build/log/apt.txt" apt-get install -y -q --no-install-recommends "${missing[@]}" ||
    die "apt-get install failed"
}

# Elsewhere than on Debian the packages have other names: CMake tells which library is missing.
need_commands() {
  local command
  for command in c++ cmake ninja python3; do
    command -v "$command" >/dev/null || die "$command is missing (see README.md for the list of what Strata needs)"
  done
}

build_packages=(g++ cmake ninja-build libjpeg62-turbo-dev libstb-dev)

# configure PRESET [OPTION...]: a preset's folder is build/PRESET, that of release is build.
configure() {
  (cd "$root" && logged build/log/configure.txt cmake --preset "$@") || die "cmake --preset $1 failed"
}

# build TARGET...: in the release folder; on a terminal ninja's own progress is seen.
build() {
  if [ -t 2 ]; then cmake --build "$root/build" -j "$(nproc)" --target "$@" >&2
  else logged "$root/build/log/build.txt" cmake --build "$root/build" -j "$(nproc)" --target "$@"; fi ||
    die "$* was not built"
}
