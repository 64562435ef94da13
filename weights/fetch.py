"""Downloads published weights, resumes where it stopped, checks size and checksum, and converts them."""

import argparse
import fcntl
import hashlib
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
BLOCK = 1 << 16
ATTEMPTS = 5  # in a row without a new byte
TIMEOUT = 60  # seconds without a byte


class FetchError(Exception):
    """The weights could not be fetched; the message says what was expected and found."""


def load_manifest(path):
    """{name: entry}, checked."""
    try:
        models = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))["models"]
        for name, entry in models.items():
            if not re.fullmatch(r"[A-Za-z0-9_]+", name) or not entry["files"] or not isinstance(entry["model"], str):
                raise ValueError(f"bad entry '{name}'")
            for file in entry["files"]:
                if not re.match(r"https?://", file["url"]) or not re.fullmatch(r"\w[\w.-]*", file_name(file)):
                    raise ValueError(f"bad url '{file['url']}'")
                if not isinstance(file["bytes"], int) or not ("sha256" in file or "md5" in file):
                    raise ValueError(f"{file['url']} needs bytes and a sha256 or md5")
        return models
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FetchError(f"{path}: not a manifest: {type(error).__name__}: {error}") from None


def file_name(file):
    return file["url"].rsplit("/", 1)[-1]


def matches(path, file):
    """None where the file is the one expected, else what is wrong with it."""
    size = os.path.getsize(path)
    if size != file["bytes"]:
        return f"expected {file['bytes']} bytes, found {size}"
    for kind in ("sha256", "md5"):
        if kind in file:
            digest = hashlib.new(kind, usedforsecurity=False)
            with open(path, "rb") as content:
                while block := content.read(1 << 20):
                    digest.update(block)
            if digest.hexdigest() != file[kind]:
                return f"expected {kind} {file[kind]}, found {digest.hexdigest()}"
    return None


def show_progress(name, done, total):
    if sys.stderr.isatty():
        filled = 30 * done // total if total else 30
        end = "\n" if done == total else ""
        print(f"\r{name} [{'=' * filled}{' ' * (30 - filled)}] {done / 1e6:.1f}/{total / 1e6:.1f} MB", end=end, file=sys.stderr,
              flush=True)


def receive(part, file):
    """One request, from where the partial file stops, until the server has no more to give."""
    start = part.seek(0, os.SEEK_END)
    request = urllib.request.Request(file["url"], headers={"User-Agent": "strata-fetch"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        range_given = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if response.status != 206 or not range_given or int(range_given[1]) != start:
            part.truncate(start := 0)  # the server sends the whole file
            part.seek(0)
        done = start
        while block := response.read(BLOCK):
            done += len(block)
            if done > file["bytes"]:
                part.truncate(0)
                raise FetchError(f"{file['url']}: expected {file['bytes']} bytes, the server sends more")
            part.write(block)
            show_progress(file_name(file), done, file["bytes"])


def download(file, folder):
    """Brings one file of the manifest into `folder`; a partial file (.part) is kept for the next attempt."""
    target = folder / file_name(file)
    if target.exists() and matches(target, file) is None:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / (target.name + ".part")
    with open(partial, "ab") as part:
        try:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FetchError(f"{partial}: another download is writing it") from None
        if part.seek(0, os.SEEK_END) > file["bytes"]:
            part.truncate(0)
        most = size = part.seek(0, os.SEEK_END)
        failures, failure = 0, ""
        while size < file["bytes"] and failures < ATTEMPTS:
            if failures:
                time.sleep(2.0 ** (failures - 2))
            failure = "the connection ended early"
            try:
                receive(part, file)
            except urllib.error.HTTPError as error:
                if error.code == 416:  # our partial file is of no use to this server
                    part.truncate(0)
                elif error.code < 500 and error.code not in (408, 429):
                    raise FetchError(f"{file['url']}: the server answers {error.code} {error.reason}") from None
                failure = f"the server answers {error.code} {error.reason}"
            except (OSError, http.client.HTTPException) as error:
                failure = str(getattr(error, "reason", error)) or type(error).__name__
            size = part.seek(0, os.SEEK_END)
            failures = 0 if size > most else failures + 1
            most = max(most, size)
        part.flush()
        os.fsync(part.fileno())
        if size != file["bytes"]:
            raise FetchError(f"{file['url']}: {failure}; {size} of {file['bytes']} bytes are kept in {partial}, "
                             "run the command again to go on")
        if wrong := matches(partial, file):
            part.truncate(0)
            raise FetchError(f"{file['url']}: {wrong}; the download was dropped")
        os.replace(partial, target)
    return target


def fetch(name, manifest, home, force=False):
    """Fetches and converts one model; returns the path of its safetensors file."""
    models = load_manifest(manifest)
    if name not in models:
        raise FetchError(f"unknown model '{name}'; {manifest} has {', '.join(models)}")
    output = home / f"{name}.safetensors"
    if output.exists() and not force:
        print(f"{output} is there already (--force replaces it)", file=sys.stderr)
        return output
    entry = models[name]
    print(f"{entry.get('title', name)}; licence: {entry.get('licence', 'not stated')}", file=sys.stderr)
    files = [download(file, home / "downloads" / name) for file in entry["files"]]
    command = [sys.executable, "-B", str(HERE / "convert.py"), str(files[0]), str(output), "--model", entry["model"]]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    print(result.stderr, end="", file=sys.stderr)
    if result.returncode:
        raise FetchError(f"{files[0]} was downloaded but not converted")
    for file in files:
        file.unlink()
    return output


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="weights/fetch", description=__doc__,
        epilog="The result is ${STRATA_HOME:-~/.cache/strata}/NAME.safetensors, with NAME.probe.json beside it.")
    parser.add_argument("name", metavar="NAME", nargs="?", help="a model of the manifest; none: list them")
    parser.add_argument("--manifest", default=str(HERE / "manifest.json"), help="another list of models (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="replace a file that is there already")
    options = parser.parse_args(arguments)
    home = pathlib.Path(os.environ.get("STRATA_HOME") or pathlib.Path.home() / ".cache" / "strata")
    try:
        if options.name is None:
            for name, entry in load_manifest(options.manifest).items():
                size = sum(file["bytes"] for file in entry["files"])
                print(f"{name:14} {size / 1e6:6.1f} MB  {entry.get('title', '')}")
            return 0
        print(fetch(options.name, options.manifest, home, options.force))
        return 0
    except (FetchError, OSError) as error:
        print(f"\nerror: {error}" if sys.stderr.isatty() else f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; run the command again to go on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
