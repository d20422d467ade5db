"""A carrier for tests and the bench: Twilio's Messages resource over HTTP, in a process of its own.

    python -m tests.carrier --port 0 --account AC… --token … --public-url http://localhost:8000

It prints one line of JSON with its address, then serves. It imports nothing of the product and signs its callbacks by
its own reading of Twilio's documents, so that product and carrier agree only if both are right.

What the product calls
    POST /2010-04-01/Accounts/{sid}/Messages.json    To, From, Body, StatusCallback; Basic auth; 201 with the message
    GET  /2010-04-01/Accounts/{sid}/Messages.json    To, From, DateSent>, PageSize; newest first, next_page_uri

What a test calls
    POST /control/faults     {"fault": "503", "count": 2, "to": "+1…"}: what the next matching sends end with
    POST /control/patient    {"from": "+1…", "body": "YES 47", "deliver": true}: a patient texts us
    POST /control/rate       {"per_second": 20}: more segments than that in any one second are refused with 429, and
                             counted
    POST /control/report     {"sid": "SM…", "status": "undelivered", "code": 30006}: a delivery report
    GET  /control/messages   everything taken so far, oldest first, and how many came too fast
    POST /control/reset      forget everything

Faults: ``500``, ``503``, ``429``, ``timeout`` (30 s of silence, not taken), ``lost`` (taken, then the connection is
reset), ``lost_500`` (taken, answered 500), ``garbled`` (taken, answered with half a JSON), ``slow_taken`` (taken,
then 30 s of silence), or a Twilio error number such as ``21211``, ``21610``, ``20003``.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import secrets
import socket
import struct
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HELD_BACK_SECONDS = 30
SENTENCES = {
    21211: (400, "The 'To' number is not a valid phone number."),
    21610: (400, "Attempt to send to unsubscribed recipient"),
    21614: (400, "'To' number is not a valid mobile number"),
    20003: (401, "Authenticate"),
    30001: (400, "Queue overflow"),
    63038: (429, "Account exceeded the daily messages limit"),
}


#: What one character of a text takes of GSM 03.38; what is in neither makes the whole text UCS-2.
ONE_UNIT = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
TWO_UNITS = "\f^{}\\[~]|€"


def segments_of(body: str) -> int:
    """How many segments a text is sent in: 160 or 153 septets each, 70 or 67 code units with any other character."""
    if all(letter in ONE_UNIT or letter in TWO_UNITS for letter in body):
        size, one, each = sum(1 + (letter in TWO_UNITS) for letter in body), 160, 153
    else:
        size, one, each = len(body.encode("utf-16-le")) // 2, 70, 67
    return 1 if size <= one else -(-size // each)


class Carrier:
    """The messages, the faults to come, and how to call the product."""

    def __init__(self, account: str, token: str, public_url: str, number: str) -> None:
        self.account, self.token, self.public_url, self.number = account, token, public_url.rstrip("/"), number
        self.lock = threading.Lock()
        self.messages: list[dict[str, Any]] = []
        self.faults: list[dict[str, Any]] = []
        self.per_second: int | None = None
        self.arrived: list[float] = []
        self.too_fast = 0

    def is_too_fast(self, body: str) -> bool:
        """Count the segments as they leave, one after the other at the rate; a text may come when the last has left."""
        now, count = time.monotonic(), segments_of(body)
        with self.lock:
            self.arrived = [at for at in self.arrived if at > now - 1]
            if self.per_second and len(self.arrived) + count > max(self.per_second, count):
                self.too_fast += 1
                return True
            self.arrived += [now + each / (self.per_second or count) for each in range(count)]
        return False

    def take(self, to: str, sender: str, body: str, callback: str, direction: str) -> dict[str, Any]:
        now = datetime.now(UTC)
        message = {
            "sid": f"SM{secrets.token_hex(16)}",
            "account_sid": self.account,
            "to": to,
            "from": sender,
            "body": body,
            "status": "received" if direction == "inbound" else "queued",
            "direction": direction,
            "date_created": format_datetime(now),
            "date_sent": format_datetime(now) if direction == "inbound" else None,
            "date_updated": format_datetime(now),
            "num_media": "0",
            "num_segments": str(segments_of(body)),
            "error_code": None,
            "callback": callback,
        }
        with self.lock:
            self.messages.append(message)
        return message

    def fault_for(self, to: str) -> str:
        with self.lock:
            for fault in self.faults:
                if fault["count"] > 0 and fault.get("to") in (None, to):
                    fault["count"] -= 1
                    return str(fault["fault"])
        return ""

    def call(self, url: str, form: dict[str, str]) -> int:
        """Call the product as Twilio does; 0 when it did not answer."""
        signed = url + "".join(key + form[key] for key in sorted(form))
        digest = hmac.new(self.token.encode(), signed.encode(), hashlib.sha1).digest()
        request = urllib.request.Request(
            url,
            data=urllib.parse.urlencode(form).encode(),
            headers={"X-Twilio-Signature": base64.b64encode(digest).decode()},
        )
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


class Handler(BaseHTTPRequestHandler):
    carrier: Carrier
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing: a test reads what it needs from /control/messages."""

    def do_GET(self) -> None:
        path = urllib.parse.urlsplit(self.path)
        if path.path == "/control/messages":
            self.answer(200, {"messages": self.carrier.messages, "too_fast": self.carrier.too_fast})
        elif self.is_messages(path.path) and self.is_let_in():
            self.list_messages(dict(urllib.parse.parse_qsl(path.query)))

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        path = urllib.parse.urlsplit(self.path).path
        if path.startswith("/control/"):
            self.control(path.removeprefix("/control/"), json.loads(raw or b"{}"))
        elif self.is_messages(path) and self.is_let_in():
            self.send_message(dict(urllib.parse.parse_qsl(raw.decode(), keep_blank_values=True)))

    def is_messages(self, path: str) -> bool:
        if path == f"/2010-04-01/Accounts/{self.carrier.account}/Messages.json":
            return True
        self.answer(404, {"code": 20404, "message": "The requested resource was not found", "status": 404})
        return False

    def is_let_in(self) -> bool:
        login = base64.b64encode(f"{self.carrier.account}:{self.carrier.token}".encode()).decode()
        if self.headers.get("Authorization") == f"Basic {login}":
            return True
        self.answer(401, {"code": 20003, "message": "Authenticate", "status": 401})
        return False

    def send_message(self, form: dict[str, str]) -> None:
        fault = "429" if self.carrier.is_too_fast(form.get("Body", "")) else self.carrier.fault_for(form.get("To", ""))
        if fault in ("", "lost", "lost_500", "garbled", "slow_taken"):
            callback = form.get("StatusCallback", "")
            message = self.carrier.take(form["To"], form["From"], form["Body"], callback, "outbound-api")
            self.after_taking(fault, message)
        elif fault == "503":
            self.answer_raw(503, b"<html>Service Unavailable</html>", "text/html")
        elif fault == "429":
            self.answer(429, {"code": 20429, "message": "Too Many Requests", "status": 429}, {"Retry-After": "2"})
        elif fault == "timeout":
            time.sleep(HELD_BACK_SECONDS)
            self.close_connection = True
        elif fault == "500":
            self.answer(500, {"code": 20500, "message": "Internal Server Error", "status": 500})
        else:
            status, sentence = SENTENCES.get(int(fault), (400, "Refused"))
            self.answer(status, {"code": int(fault), "message": sentence, "status": status})

    def after_taking(self, fault: str, message: dict[str, Any]) -> None:
        if fault == "lost":
            self.reset()
        elif fault == "lost_500":
            self.answer(500, {"code": 20500, "message": "Internal Server Error", "status": 500})
        elif fault == "garbled":
            self.answer_raw(201, json.dumps(message).encode()[:40], "application/json")
        elif fault == "slow_taken":
            time.sleep(HELD_BACK_SECONDS)
            self.close_connection = True
        else:
            self.answer(201, {name: value for name, value in message.items() if name != "callback"})

    def reset(self) -> None:
        """Drop the connection so that the caller sees a reset, not an end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def list_messages(self, query: dict[str, str]) -> None:
        with self.carrier.lock:
            found = list(reversed(self.carrier.messages))
        for name in ("To", "From"):
            if name in query:
                found = [message for message in found if message[name.lower()] == query[name]]
        if "DateSent>" in query:  # a message still in the queue has no date of sending and is not listed
            found = [message for message in found if message["date_sent"]]
        size, page = int(query.get("PageSize", 50)), int(query.get("Page", 0))
        shown = found[page * size : (page + 1) * size]
        following = None
        if (page + 1) * size < len(found):
            path = urllib.parse.urlsplit(self.path).path
            following = f"{path}?{urllib.parse.urlencode({**query, 'Page': page + 1})}"
        plain = [{name: value for name, value in message.items() if name != "callback"} for message in shown]
        self.answer(200, {"messages": plain, "next_page_uri": following, "page": page, "page_size": size})

    def control(self, verb: str, wish: dict[str, Any]) -> None:
        carrier = self.carrier
        if verb == "faults":
            with carrier.lock:
                carrier.faults.append({"count": 1, **wish})
            self.answer(200, {})
        elif verb == "patient":
            self.patient(wish)
        elif verb == "report":
            self.report(wish)
        elif verb == "reset":
            with carrier.lock:
                carrier.messages.clear()
                carrier.faults.clear()
                carrier.per_second, carrier.too_fast = None, 0
            self.answer(200, {})
        elif verb == "rate":
            carrier.per_second = wish["per_second"]
            self.answer(200, {})
        else:
            self.answer(404, {})

    def patient(self, wish: dict[str, Any]) -> None:
        message = self.carrier.take(self.carrier.number, wish["from"], wish.get("body", ""), "", "inbound")
        status = None
        if wish.get("deliver", True):
            form = {
                "AccountSid": self.carrier.account,
                "ApiVersion": "2010-04-01",
                "Body": message["body"],
                "From": message["from"],
                "MessageSid": message["sid"],
                "NumMedia": "0",
                "NumSegments": "1",
                "SmsStatus": "received",
                "To": message["to"],
            }
            status = self.carrier.call(f"{self.carrier.public_url}/webhooks/sms/twilio/inbound/", form)
        self.answer(200, {"sid": message["sid"], "answered": status})

    def report(self, wish: dict[str, Any]) -> None:
        message = next(each for each in self.carrier.messages if each["sid"] == wish["sid"])
        message["status"] = wish["status"]
        form = {
            "AccountSid": self.carrier.account,
            "From": message["from"],
            "MessageSid": message["sid"],
            "MessageStatus": wish["status"],
            "To": message["to"],
        }
        if wish.get("code"):
            form["ErrorCode"] = str(wish["code"])
        self.answer(200, {"answered": self.carrier.call(message["callback"], form)})

    def answer(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self.answer_raw(status, json.dumps(body).encode(), "application/json", headers)

    def answer_raw(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    options = argparse.ArgumentParser(description="A carrier for tests.")
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--account", default="AC" + "0" * 32)
    options.add_argument("--token", default="carrier-token")
    options.add_argument("--number", default="+12125550199")
    options.add_argument("--public-url", default="http://localhost:8000")
    chosen = options.parse_args()
    Handler.carrier = Carrier(chosen.account, chosen.token, chosen.public_url, chosen.number)
    server = Server(("127.0.0.1", chosen.port), Handler)
    print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
