import contextlib
import hashlib
import http.server
import io
import json
import pathlib
import re
import shutil
import subprocess
import threading
import unittest.mock

import fetch
from strata_weights import safetensors
from support import ConverterTest, strata_data, write_darknet


class Server(http.server.BaseHTTPRequestHandler):
    """Serves `files`; knows Range, unless told otherwise, and cuts the connection after `cut` bytes, so often."""

    files, ranges, cut, cuts_left, status, log = {}, True, 0, 0, None, []

    def do_GET(self):
        content, requested = self.files.get(self.path), self.headers.get("Range")
        type(self).log.append((self.path, requested))
        if self.status or content is None:
            return self.send_error(self.status or 404)
        start = int(re.match(r"bytes=(\d+)-", requested)[1]) if requested and self.ranges else 0
        if start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", len(content) - start)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        body = content[start:]
        if self.cuts_left:
            type(self).cuts_left -= 1
            body = body[: self.cut]
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Fetch(ConverterTest):
    def setUp(self):
        super().setUp()
        write_darknet(self.folder / "net.weights", self.rng)
        self.content = {f"/{name}": (self.folder / name).read_bytes() for name in ("net.weights", "net.cfg")}
        self.handler = type("Handler", (Server,), {"files": dict(self.content), "log": []})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        self.addCleanup(lambda: (server.shutdown(), thread.join(), server.server_close()))
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.home = self.folder / "home"
        self.home.mkdir()
        self.part = self.home / "downloads" / "net" / "net.weights.part"
        self.manifest = self.folder / "manifest.json"
        self.write_manifest()

    def write_manifest(self, **changes):
        files = [{"url": self.url + path, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
                 for path, content in self.content.items()]
        files[0] |= changes
        self.manifest.write_text(json.dumps({"models": {"net": {"model": "small", "files": files}}}))

    def run_fetch(self, *arguments):
        errors = io.StringIO()
        with unittest.mock.patch.dict("os.environ", STRATA_HOME=str(self.home)), unittest.mock.patch("time.sleep"), \
                contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            status = fetch.main([*arguments, "--manifest", str(self.manifest)])
        return status, errors.getvalue()

    def assert_fetched(self, result):
        self.assertEqual(result[0], 0, result[1])
        tensors, metadata = safetensors.read(self.home / "net.safetensors")
        self.assertEqual(sorted(tensors), ["conv1/bias", "conv1/kernel", "conv2/bias", "conv2/kernel"])
        self.assertEqual(metadata["model"], "small")
        self.assertEqual(json.loads(metadata["provenance"])["source"]["sha256"],
                         hashlib.sha256(self.content["/net.weights"]).hexdigest())
        self.assertTrue((self.home / "net.probe.json").exists())
        self.assertFalse(any((self.home / "downloads" / "net").iterdir()))

    def assert_refused(self, result, *parts):
        self.assertEqual(result[0], 1)
        for part in parts:
            self.assertIn(part, result[1])
        self.assertFalse((self.home / "net.safetensors").exists())

    def test_download_and_conversion(self):
        self.assert_fetched(self.run_fetch("net"))
        self.assertEqual(self.handler.log, [("/net.weights", None), ("/net.cfg", None)])
        self.assertIn("there already", self.run_fetch("net")[1])
        self.assertEqual(len(self.handler.log), 2)
        self.assert_fetched(self.run_fetch("net", "--force"))
        self.assertEqual(len(self.handler.log), 4)

    def test_interrupted_connection_goes_on_where_it_stopped(self):
        self.handler.cut, self.handler.cuts_left = 200, 2
        self.assert_fetched(self.run_fetch("net"))
        self.assertEqual([requested for path, requested in self.handler.log if path == "/net.weights"],
                         [None, "bytes=200-", "bytes=400-"])

    def test_a_later_run_goes_on_where_the_first_stopped(self):
        self.handler.cut, self.handler.cuts_left = 300, 1
        real = fetch.receive

        def no_network(part, file):
            if part.seek(0, 2):
                raise OSError("network is unreachable")
            real(part, file)

        with unittest.mock.patch.object(fetch, "receive", no_network):
            self.assert_refused(self.run_fetch("net"), "network is unreachable", "300 of", "run the command again")
        self.assertEqual(self.part.stat().st_size, 300)
        self.assert_fetched(self.run_fetch("net"))
        self.assertEqual(self.handler.log[1], ("/net.weights", "bytes=300-"))

    def test_server_without_ranges(self):
        self.handler.ranges, self.handler.cut, self.handler.cuts_left = False, 200, 1
        self.assert_fetched(self.run_fetch("net"))

    def test_connection_that_always_ends_early(self):
        self.handler.ranges, self.handler.cut, self.handler.cuts_left = False, 200, 1000
        self.assert_refused(self.run_fetch("net"), "200 of", "kept in")
        self.assertEqual(self.part.stat().st_size, 200)

    def test_wrong_checksum(self):
        for kind in ("sha256", "md5"):
            self.write_manifest(**{kind: "0" * (64 if kind == "sha256" else 32)})
            self.assert_refused(self.run_fetch("net"), f"expected {kind} 000", "dropped", "net.weights")
            self.assertEqual(self.part.stat().st_size, 0)
        self.write_manifest()
        self.assert_fetched(self.run_fetch("net"))

    def test_wrong_size(self):
        self.write_manifest(bytes=100)
        self.assert_refused(self.run_fetch("net"), "expected 100 bytes, the server sends more")
        self.write_manifest(bytes=len(self.content["/net.weights"]) + 1)
        self.assert_refused(self.run_fetch("net"), "416")

    def test_partial_file_of_something_else(self):
        self.part.parent.mkdir(parents=True)
        self.part.write_bytes(b"x" * 100)
        self.assert_refused(self.run_fetch("net"), "expected sha256")
        self.assert_fetched(self.run_fetch("net"))
        self.part.write_bytes(b"x" * 100_000)
        (self.home / "net.safetensors").unlink()
        self.assert_fetched(self.run_fetch("net"))

    def test_missing_on_the_server(self):
        del self.handler.files["/net.cfg"]
        self.assert_refused(self.run_fetch("net"), "/net.cfg", "404")
        self.assertEqual([path for path, _ in self.handler.log], ["/net.weights", "/net.cfg"])
        self.handler.files = dict(self.content)
        self.assert_fetched(self.run_fetch("net"))
        self.assertEqual([path for path, _ in self.handler.log].count("/net.weights"), 1)  # kept from the first run

    def test_server_error_is_tried_again(self):
        self.handler.status = 503
        self.assert_refused(self.run_fetch("net"), "503")
        self.assertEqual(len(self.handler.log), fetch.ATTEMPTS)

    def test_no_server(self):
        self.write_manifest(url="http://127.0.0.1:9/net.weights")
        self.assert_refused(self.run_fetch("net"), "127.0.0.1:9", "refused")

    def test_unconvertible(self):
        self.content["/net.weights"] = self.handler.files["/net.weights"] = b"not weights" * 9
        self.write_manifest()
        self.assert_refused(self.run_fetch("net"), "downloaded but not converted")

    def test_names_and_manifests(self):
        self.assert_refused(self.run_fetch("nothing"), "unknown model 'nothing'", "net")
        good = json.loads(self.manifest.read_text())
        for change in ({"url": "file:///etc/passwd"}, {"url": "http://127.0.0.1:9/.."}, {"url": "http://127.0.0.1:9/"}, {"bytes": "9"},
                       {"sha256": None, "remove": "sha256"}):
            bad = json.loads(json.dumps(good))
            bad["models"]["net"]["files"][0] |= change
            if "remove" in change:
                del bad["models"]["net"]["files"][0]["sha256"]
            self.manifest.write_text(json.dumps(bad))
            self.assert_refused(self.run_fetch("net"), "not a manifest")
        for text in ("", "[]", "{}", '{"models": {"../x": {}}}', '{"models": {"a": {"model": "a", "files": []}}}'):
            self.manifest.write_text(text)
            self.assert_refused(self.run_fetch("net"), "not a manifest", str(self.manifest))

    def test_command(self):
        command = pathlib.Path(fetch.__file__).parent / "fetch"
        listing = subprocess.run(["bash", str(command)], check=True, capture_output=True, text=True).stdout
        for name in ("vgg16_notop", "vgg16", "vgg19_notop", "vgg19", "tiny_darknet"):
            self.assertRegex(listing, rf"(?m)^{name} ")
        self.assertIn("--manifest", subprocess.run(["bash", str(command), "--help"], check=True, capture_output=True, text=True).stdout)


class Manifest(ConverterTest):
    def test_real_files(self):
        entry = fetch.load_manifest(pathlib.Path(fetch.__file__).parent / "manifest.json")["tiny_darknet"]
        self.assertIsNone(fetch.matches(strata_data("tiny_darknet", "tiny.weights"), entry["files"][0]))

    def test_digests_are_whole(self):
        for name, entry in fetch.load_manifest(pathlib.Path(fetch.__file__).parent / "manifest.json").items():
            for file in entry["files"]:
                for kind, length in (("md5", 32), ("sha256", 64)):
                    self.assertRegex(file.get(kind, "0" * length), rf"^[0-9a-f]{{{length}}}$", name)
