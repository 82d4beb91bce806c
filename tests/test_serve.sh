#!/bin/sh
# `ridge serve` as a client and an administrator meet it: curl and raw sockets against the default model.
R=${BUILD:-build}/ridge
T=$(mktemp -d) passed=0 failed=0 pid=
trap 'kill -9 $pid 2>/dev/null; rm -rf "$T"' EXIT
command -v curl >/dev/null || { echo "NOT TESTED: curl is absent"; exit 0; }

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $1"; sed 's/^/    /' "$T/head" "$T/out" "$T/log" 2>/dev/null | tail -20; }
start() { # options ...: a server on a port of its own, which does not measure the memory first
    : >"$T/start"
    "$R" serve --port 0 --bandwidth 10 "$@" >>"$T/start" 2>"$T/log" &
    pid=$!
    for _ in $(seq 200); do
        grep -q serves "$T/start" && break
        kill -0 $pid 2>/dev/null || break
        sleep 0.05
    done
    url=$(sed -n 's,^ridge: \([^ ]*\) serves.*,\1,p' "$T/start") port=${url##*:}
}
ends() { # what it protects, the status that it ends with
    for _ in $(seq 200); do kill -0 $pid 2>/dev/null || break; sleep 0.05; done
    if kill -0 $pid 2>/dev/null; then bad "$1 (it still runs)"; kill -9 $pid; fi
    wait $pid; [ $? -eq "$2" ] && ok || bad "$1"
}
gives() { # what it protects, status, text that the answer has (in its head or body), path, options of curl ...
    what=$1 status=$2 text=$3 path=$4; shift 4
    : >"$T/head"; : >"$T/out"
    got=$(curl -s -m 20 -D "$T/head" -o "$T/out" -w '%{http_code}' "$@" "$url$path")
    if [ "$got" = "$status" ] && cat "$T/head" "$T/out" | grep -qiF -- "$text"; then ok; else bad "$what (status $got)"; fi
}
raw() { # what it protects, text that the answer has, bytes to send as printf takes them; the connection stays open
    if python3 -c '
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1]))); s.settimeout(10)
try: s.sendall(sys.argv[2].encode("latin-1").decode("unicode_escape").encode("latin-1"))
except OSError: pass
got = b""
while sys.argv[3].encode() not in got:
    more = s.recv(65536)
    if not more: sys.exit(1)
    got += more
' "$port" "$3" "$2" 2>"$T/out"; then ok; else bad "$1"; fi
}

# ---- what it says of itself ----
start --log-format json
grep -q "^ridge: http://127.0.0.1:$port serves .*weights .* MB, cache .* MB for .* tokens" "$T/start" && ok || bad "one line at start"
gives "it is well"                        200 '"status":"ok"'               /health
gives "the list of models"                200 '"object":"list"'             /v1/models
model=$(sed 's/.*"id":"\([^"]*\)".*/\1/' "$T/out")
gives "one model"                         200 '"object":"model"'            "/v1/models/$model"
gives "a model that is not here"          404 model_not_found               /v1/models/other
gives "metrics"                           200 'ridge:num_requests_running{' /metrics
grep -q '^# TYPE ridge:time_to_first_token_seconds histogram' "$T/out" && ok || bad "metrics have types"
gives "the page"                          200 'content-security-policy'     /
tag=$(sed -n 's/^ETag: \(.*\)\r$/\1/p' "$T/head")
gives "the page is the same"              304 ''                            / -H "If-None-Match: $tag"
gives "a file of the page"                200 'text/css'                    /web/style.css
gives "a file that is not there"          404 not_found_error               /web/none.css
gives "an id comes back"                  200 'X-Request-Id: mine.1'        /health -H 'X-Request-Id: mine.1'
gives "an id that a log cannot bear"      200 'X-Request-Id: req_'          /health -H 'X-Request-Id: a b{}'

# ---- what is refused ----
gives "an unknown path"                   404 '"message":"there is nothing' /nope
gives "a method that is not taken"        405 'Allow: GET, HEAD, OPTIONS'   /v1/models -X POST -d '{}'
gives "a method that nobody knows"        405 'Allow: GET, HEAD, OPTIONS'   /v1/models -X BREW
gives "options"                           204 'Allow: GET, HEAD, OPTIONS'   /v1/models -X OPTIONS
gives "a head"                            200 'Content-Length:'             /v1/models -I
gives "a compressed body"                 415 'not compressed'              /v1/models -X POST -H 'Content-Encoding: gzip' -d x
gives "a broken escape"                   400 'percent-encoded'             '/v1/models/%zz'
gives "a zero byte"                       400 'percent-encoded'             '/v1/models/a%00b'
gives "too many headers"                  431 ''                            /v1/models $(seq 100 | sed 's/.*/-H X-&:1/')
gives "headers that are too long"         431 '"type":"invalid_request_error"' /health -H "X: $(head -c 40000 /dev/zero | tr '\0' x)"
head -c 40000000 /dev/zero >"$T/large"
gives "a body that is too long"           413 '"message":"the body has 40000000 bytes' /v1/models -H 'Expect:' --data-binary @"$T/large"
gives "... in chunks"                     413 ''                            /v1/models -H 'Expect:' -H 'Transfer-Encoding: chunked' -X POST -T "$T/large"
raw "a length alone is enough to refuse"  "413"  'POST /v1/models HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n'
raw "two requests at once"                '"object":"list"' 'GET /health HTTP/1.1\r\nHost: a\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n'
raw "HTTP/1.0"                            '"status":"ok"' 'GET /health HTTP/1.0\r\n\r\n'
raw "a version of the future"             '"type":"invalid_request_error"' 'GET / HTTP/9.9\r\nHost: a\r\n\r\n'
raw "nonsense in chunks"                  '"message":"Your HTTP chunked' 'POST /v1/models HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n'
raw "a header that is none"               '"message":"Your HTTP request was' 'GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n'
raw "a length that is none"               '400 Bad Request' 'POST /v1/models HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n'
raw "no host"                             '"message":"the header Host' 'GET / HTTP/1.1\r\n\r\n'
raw "two lengths"                         '"message":"Content-Length' 'POST /v1/models HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nabc'
raw "a length beside chunks"              '"message":"Content-Length' 'POST /v1/models HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
raw "a coding that nobody knows"          '"message":"Transfer-Encoding' 'POST /v1/models HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nabc'
gives "it is still well"                  200 '"status":"ok"'               /health
gives "others' pages may not call"        200 ''                            /health -H 'Origin: https://evil.example'
grep -qi access-control "$T/head" && bad "no CORS unless asked for" || ok
"$R" serve --port "$port" >"$T/out" 2>&1; [ $? -eq 1 ] && grep -q "is taken by another server" "$T/out" && ok || bad "a second server"
kill -TERM $pid; ends "SIGTERM ends it" 0
python3 -c '
import json, sys
for line in open(sys.argv[1]): json.loads(line)' "$T/log" && grep -q '"path":"/v1/models","status":200' "$T/log" && ok || bad "each line of the log is JSON"

# ---- keys ----
printf '# keys\nsk-alice alice\nsk-ops ops admin requests/min=1000\n' >"$T/keys"
start --api-key-file "$T/keys" --cors-origin https://a.example,https://b.example --idle-seconds 1 --request-seconds 1
gives "no key"                            401 'WWW-Authenticate: Bearer'    /v1/models
gives "a wrong key"                       401 invalid_api_key               /v1/models -H 'Authorization: Bearer sk-alic'
gives "a key"                             200 '"object":"list"'             /v1/models -H 'Authorization: Bearer sk-alice'
gives "a key as Anthropic's clients send it" 200 '"object":"list"'          /v1/models -H 'x-api-key: sk-ops'
gives "health needs no key"               200 ok                            /health
gives "an allowed origin"                 200 'Access-Control-Allow-Origin: https://b.example' /health -H 'Origin: https://b.example'
gives "a preflight"                       204 'Access-Control-Allow-Headers: authorization' /v1/models -X OPTIONS \
      -H 'Origin: https://a.example' -H 'Access-Control-Request-Method: GET' -H 'Access-Control-Request-Headers: authorization'
gives "an origin that only begins alike"  200 ''                            /health -H 'Origin: https://a.exampl'
grep -qi access-control "$T/head" && bad "an origin that only begins alike" || ok
echo 'sk-new carol' >"$T/keys"; kill -HUP $pid
for _ in $(seq 100); do grep -q "read again" "$T/log" && break; sleep 0.05; done
gives "a new key after SIGHUP"            200 '"object":"list"'             /v1/models -H 'Authorization: Bearer sk-new'
gives "an old key after SIGHUP"           401 invalid_api_key               /v1/models -H 'Authorization: Bearer sk-alice'
echo 'sk-new carol priority=high' >"$T/keys"; kill -HUP $pid
for _ in $(seq 100); do grep -q "stay as they were" "$T/log" && break; sleep 0.05; done
grep -q "line 1: priority=" "$T/log" && ok || bad "a broken file of keys is told"
gives "... and changes nothing"           200 '"object":"list"'             /v1/models -H 'Authorization: Bearer sk-new'
grep -q "sk-" "$T/log" && bad "no key is ever in the log" || ok
raw "a slow request is told"              '408' 'POST /v1/models HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc'
kill -INT $pid; ends "SIGINT ends it" 0

# ---- where it listens ----
"$R" serve --host 999.1.1.1 >"$T/out" 2>&1; [ $? -eq 1 ] && grep -q -- "--host 999.1.1.1" "$T/out" && ok || bad "a host that there is not"
"$R" serve --api-key-file "$T/none" >"$T/out" 2>&1; [ $? -eq 1 ] && grep -q "$T/none" "$T/out" && ok || bad "a file of keys that there is not"
"$R" serve --tls-cert "$T/keys" >"$T/out" 2>&1; [ $? -eq 1 ] && grep -q "TLS wants both" "$T/out" && ok || bad "half of TLS"
start --host "unix:$T/socket"
curl -s -m 5 --unix-socket "$T/socket" http://ridge/health | grep -q ok && ok || bad "a socket in the file system"
kill -TERM $pid; ends "... ends" 0
[ -e "$T/socket" ] && bad "... and is removed" || ok
start --host ::1; case $url in "http://[::1]:"*) gives "IPv6" 200 ok /health -g ;; *) echo "NOT TESTED: no IPv6 here" ;; esac
kill -TERM $pid 2>/dev/null; wait $pid 2>/dev/null

# ---- under systemd: a socket that is open already, and notices of how it goes ----
python3 -c '
import os, signal, socket, subprocess, sys, urllib.request
notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); notices.bind(sys.argv[2]); notices.settimeout(20)
door = socket.socket(); door.bind(("127.0.0.1", 0)); door.listen(); port = door.getsockname()[1]
child = os.fork()
if child == 0:
    os.dup2(door.fileno(), 3); os.set_inheritable(3, True)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", NOTIFY_SOCKET=sys.argv[2])
    os.execv(sys.argv[1], [sys.argv[1], "serve", "--bandwidth", "10"])
door.close()
def wait_for(notice):
    while not notices.recv(4096).startswith(notice): pass
try:
    wait_for(b"READY=1")
    assert urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10).status == 200
    os.kill(child, signal.SIGHUP); wait_for(b"RELOADING=1"); wait_for(b"READY=1")
    os.kill(child, signal.SIGTERM); wait_for(b"STOPPING=1")
    assert os.waitpid(child, 0)[1] == 0; child = 0
finally:
    if child: os.kill(child, signal.SIGKILL)
' "$R" "$T/notify" >"$T/out" 2>&1 && ok || bad "a socket and notices of systemd"

# ---- answers ----
start --drain-seconds 0.3 --max-num-seqs 4
body='{"prompt": "Once upon a time", "max_tokens": 900, "ignore_eos": true'
curl -s -m 20 -N "$url/v1/completions" -d "$body, \"stream\": true}" >"$T/stream" & stream=$!
for _ in $(seq 100); do [ -s "$T/stream" ] && break; sleep 0.05; done
gives "the engine shows who is there"     200 '"state":"generates"'         /ridge/state
grep -q '"map":\[' "$T/out" && ok || bad "... and its blocks"
kill $stream; wait $stream 2>/dev/null
timeout 0.3 curl -s "$url/v1/completions" -d "$body}"
for _ in $(seq 100); do curl -s "$url/ridge/state" | grep -q '"sequences":\[\]' && break; sleep 0.05; done
gives "who hangs up frees what it held, streaming or not" 200 '"sequences":[]' /ridge/state
curl -s -m 20 "$url/v1/completions" -d "$body}" >"$T/answer" & answer=$!
for _ in $(seq 100); do curl -s "$url/ridge/state" | grep -q '"state":"generates"' && break; sleep 0.05; done
kill -TERM $pid; wait $answer
grep -q '"finish_reason":"[a-z]*"' "$T/answer" && ok || bad "what a stop cuts short comes with what it has"
ends "... and the stop ends well" 0
start --stream-interval 5 --max-num-seqs 4
python3 -c '
import json, sys, urllib.request
def ask(**more):
    body = {"prompt": "Once upon a time", "max_tokens": 33, "temperature": 0, "ignore_eos": True, **more}
    return urllib.request.urlopen(urllib.request.Request(sys.argv[1] + "/v1/completions", json.dumps(body).encode()), timeout=20).read()
whole = json.loads(ask())["choices"][0]["text"]
parts = [json.loads(line[6:]) for line in ask(stream=True).decode().splitlines() if line.startswith("data: {")]
assert "".join(p["choices"][0]["text"] for p in parts) == whole != ""
stopped = json.loads(ask(stop=[whole[20:25]]))
assert stopped["choices"][0]["text"] == whole[:whole.find(whole[20:25])] and stopped["usage"]["completion_tokens"] < 33
' "$url" >"$T/out" 2>&1 && ok || bad "tokens that are told by fives are all told, and a stop text stops at once"
kill -TERM $pid; ends "... and the stop ends well" 0
echo "[  PASSED  ] $passed tests"
[ $failed -eq 0 ]
