# Sourced by convert, fetch and the tests: prepares the converter's own Python and names it in $python.
# The environment lives in ${STRATA_HOME:-~/.cache/strata}/venv and is made anew only when requirements.txt changes.
# prepare_python REQUIREMENTS [NAME]: another NAME than venv is another environment.

strata_home=${STRATA_HOME:-${HOME:?HOME or STRATA_HOME must be set}/.cache/strata}
python=$strata_home/venv/bin/python

prepare_python() {
  local requirements=$1 venv=$strata_home/${2:-venv}
  local stamp=$venv/requirements.txt
  python=$venv/bin/python
  mkdir -p "$strata_home"
  # A second command started meanwhile waits for the first to finish.
  if command -v flock >/dev/null; then exec 9>"$venv.lock" && flock 9; fi
  if ! { [ -x "$python" ] && cmp -s "$requirements" "$stamp"; }; then
    if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
      if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing python3 and python3-venv" >&2
        apt-get update -qq >&2 &&
          DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null
      else
        echo "error: python3 with its venv module is needed (on Debian: apt-get install python3-venv)" >&2
        return 1
      fi
    fi
    echo "preparing Python in $venv" >&2
    python3 -m venv --clear "$venv" &&
      "$python" -m pip install --quiet --disable-pip-version-check -r "$requirements" >&2 &&
      cp "$requirements" "$stamp" || { echo "error: could not prepare $venv" >&2; return 1; }
  fi
  if command -v flock >/dev/null; then exec 9>&-; fi
}
