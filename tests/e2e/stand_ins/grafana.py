"""As much of Grafana as reads what it is provisioned with: health, dashboards, and its source."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import yaml

PROVISIONED = Path("/etc/grafana/provisioning")
PROXY = "/api/datasources/proxy/uid/"
BY_UID = "/api/dashboards/uid/"


def provisioned(kind: str, key: str) -> list[dict[str, Any]]:
    files = (PROVISIONED / kind).glob("*.yml")
    return [one for file in files for one in yaml.safe_load(file.read_text())[key]]


def dashboards() -> dict[str, dict[str, Any]]:
    folders = [Path(one["options"]["path"]) for one in provisioned("dashboards", "providers")]
    found = [json.loads(file.read_text()) for folder in folders for file in folder.glob("*.json")]
    return {one["uid"]: one for one in found}


def answer(path: str) -> bytes:
    if path == "/api/health":
        return b'{"database": "ok"}'
    if path.startswith(BY_UID):
        return json.dumps({"dashboard": dashboards()[path.removeprefix(BY_UID)]}).encode()
    uid, _, rest = path.removeprefix(PROXY).partition("/")
    (url,) = (one["url"] for one in provisioned("datasources", "datasources") if one["uid"] == uid)
    with urlopen(f"{url}/{rest}", timeout=9) as said:
        text: bytes = said.read()
    return text


class Answers(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        try:
            code, said = 200, answer(self.path)
        except HTTPError as error:
            code, said = error.code, error.read()
        self.send_response(code)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(said)


ThreadingHTTPServer(("0.0.0.0", 3000), Answers).serve_forever()
