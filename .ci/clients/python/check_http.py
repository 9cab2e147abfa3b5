"""What all clients rely on, and what applications ask, as plain requests."""

import concurrent.futures
import datetime
import gzip
import http.client
import json
import urllib.parse

from checks import HELLO, MODEL, SERVER, contains, equal, http as ask, main, slot_is_free, slot_is_taken

ADDRESS = urllib.parse.urlsplit(SERVER).netloc
HI = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
ENDLESS = {**HI, "messages": [{"role": "user", "content": "something endless"}], "stream": True}
# By route, a body that asks for a greeting.
ROUTES = {
    "/v1/chat/completions": HI,
    "/v1/completions": {"model": MODEL, "prompt": "<|say|>"},
    "/v1/responses": {"model": MODEL, "input": "hi"},
    "/v1/messages": {**HI, "max_tokens": 32},
    "/api/chat": {**HI, "stream": False},
    "/api/generate": {"model": MODEL, "prompt": "hi", "stream": False},
}


def send(connection, path, body=None, headers=(), method=None):
    """A request on a connection, with no headers but these."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.putrequest(method or ("POST" if data is not None else "GET"), path, skip_accept_encoding=True)
    for name, value in dict(headers).items():
        connection.putheader(name, value)
    if data is not None:
        connection.putheader("Content-Length", str(len(data)))
    connection.endheaders(data)
    return connection.getresponse()


def bare(path, body=None, headers=(), method=None):
    """Status, headers and bytes of a request on a connection of its own."""
    connection = http.client.HTTPConnection(ADDRESS, timeout=60)
    answer = send(connection, path, body, headers, method)
    return answer.status, answer.headers, answer.read()


def greets(path, found, **more):
    status, _, body = found
    assert status == 200 and HELLO.encode() in body, (path, more, status, body[:500])


def c001_no_content_type():
    for path, body in ROUTES.items():
        greets(path, bare(path, body))


def c002_text_plain():
    for path, body in ROUTES.items():
        greets(path, bare(path, body, {"Content-Type": "text/plain"}))


def c003_c004_accept():
    for accept in ({"Accept": "application/json"}, {"Accept": "*/*"}, {}):
        for path, body in ROUTES.items():
            status, headers, _ = bare(path, {**body, "stream": True}, accept)
            kind = "application/x-ndjson" if path.startswith("/api") else "text/event-stream"
            equal((path, accept, status, headers.get_content_type()), (path, accept, 200, kind))


def c005_c006_unknown_fields_and_headers():
    for path, body in ROUTES.items():
        greets(path, bare(path, {**body, "no_such_field": {"a": [1]}}, {"X-No-Such-Header": "a"}))


def c007_any_key():
    for key in ("Bearer any", "Basic YTpi", "nonsense"):
        for path, body in ROUTES.items():
            greets(path, bare(path, body, {"Authorization": key}), key=key)


def c009_unknown_path():
    for path in ("/none", "/api/none", "/v1/none", "/v1/messages/none"):
        status, _, body = bare(path, {})
        equal((path, status, "error" in json.loads(body)), (path, 404, True))


def c010_wrong_method():
    for path in ROUTES:
        status, headers, body = bare(path)
        equal((path, status, headers["Allow"] is not None, "error" in json.loads(body)), (path, 405, True, True))


def c011_c012_root():
    connection = http.client.HTTPConnection(ADDRESS, timeout=60)
    stream = send(connection, "/api/chat", ENDLESS)
    stream.readline()
    equal(bare("/", method="HEAD")[0], 200)
    status, _, body = bare("/")
    equal((status, b"running" in body), (200, True))
    slot_is_taken()
    stream.close()
    connection.close()
    slot_is_free()


def c013_malformed_json():
    for path in ROUTES:
        status, _, body = bare(path, b'{"model": "a",\n oops}')
        error = json.loads(body)["error"]
        text = error if isinstance(error, str) else error["message"]
        equal((path, status), (path, 400))
        contains(text, "line 2")


def c014_chunked_body():
    connection = http.client.HTTPConnection(ADDRESS, timeout=60)
    data = json.dumps(HI).encode()
    connection.request(
        "POST",
        "/v1/chat/completions",
        iter([data[:9], data[9:]]),
        encode_chunked=True,
        headers={"Transfer-Encoding": "chunked"},
    )
    answer = connection.getresponse()
    greets("chunked", (answer.status, answer.headers, answer.read()))


def c015_query():
    for path, body in ROUTES.items():
        greets(path, bare(path + "?beta=true&api-version=1", body))


def c017_slashes():
    for path, body in ROUTES.items():
        greets(path, bare(path + "/", body))
        greets(path, bare("/" + path, body))
        greets(path, bare(path.replace("/", "//"), body))


def c019_frames_are_flushed():
    connection = http.client.HTTPConnection(ADDRESS, timeout=60)
    stream = send(connection, "/api/chat", ENDLESS)
    first = json.loads(stream.readline())
    # The answer is not over: what came was not kept back until then.
    equal((first["done"], first["message"]["role"]), (False, "assistant"))
    slot_is_taken()
    stream.close()
    connection.close()
    slot_is_free()


def c022_an_answer_nobody_reads():
    connection = http.client.HTTPConnection(ADDRESS, timeout=60)
    stream = send(connection, "/api/chat", {**ENDLESS, "options": {"num_predict": 2000}})
    stream.readline()
    greets("beside", bare("/v1/chat/completions", HI))
    lines = stream.read().splitlines()
    equal(json.loads(lines[-1])["done_reason"], "length")


def c023_no_compressed_streams():
    for path, body in ROUTES.items():
        _, headers, content = bare(path, {**body, "stream": True}, {"Accept-Encoding": "gzip, deflate, br, zstd"})
        equal((path, headers["Content-Encoding"]), (path, None))
        assert b"Hello" in content, (path, content[:300])


def c014_compressed_request():
    data = gzip.compress(json.dumps(HI).encode())
    status, _, body = bare("/v1/chat/completions", data, {"Content-Encoding": "gzip"})
    assert status in (200, 415) and (HELLO.encode() if status == 200 else b"error") in body, (status, body)


def c025_keep_alive():
    connection = http.client.HTTPConnection(ADDRESS, timeout=60)
    connection.connect()
    socket = connection.sock
    for number in range(20):
        for path, body in [*ROUTES.items(), ("/api/tags", None), ("/v1/models", None)]:
            answer = send(connection, path, body)
            answer.read()
            equal((number, path, answer.status, connection.sock is socket), (number, path, 200, True))


def c026_parallel():
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: bare("/v1/chat/completions", {**HI, "stream": True}), range(8)):
            equal((found[0], b"[DONE]" in found[2]), (200, True))


def c160_codex_warm_up():
    status, _, body = ask("/v1/responses", {"model": MODEL, "input": "", "max_output_tokens": 1})
    equal((status, json.loads(body).get("object")), (200, "response"))


def c163_unknown_tools():
    tools = [
        {"type": "namespace", "name": "n", "tools": []},
        {"type": "web_search"},
        {
            "type": "function",
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    ]
    messages = [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "be brief"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
    ]
    asked = {
        "model": MODEL,
        "input": messages,
        "tools": tools,
        "store": False,
        "parallel_tool_calls": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "a",
        "client_metadata": {"a": "b"},
    }
    status, _, body = ask("/v1/responses", asked)
    equal(
        (status, [item["name"] for item in json.loads(body)["output"] if item["type"] == "function_call"]),
        (200, ["get_weather"]),
    )


def c169_vs_code():
    version = json.loads(ask("/api/version")[2])["version"]
    assert [int(part) for part in version.split(".")] >= [0, 13, 4], version
    models = json.loads(ask("/api/tags")[2])["models"]
    contains([model["name"] for model in models], MODEL + ":latest")
    for model in models:
        shown = json.loads(ask("/api/show", {"model": model["name"]})[2])
        info = shown["model_info"]
        equal((model["name"], isinstance(shown["capabilities"], list)), (model["name"], True))
        assert "general.architecture" in info and "general.basename" in info, (model["name"], list(info))


def c171_strict_reader():
    for model in json.loads(ask("/api/tags")[2])["models"]:
        for name in ("name", "model", "modified_at", "size", "digest", "details"):
            assert model[name] or model[name] == 0, (name, model)
        for name in ("parent_model", "format", "family", "families", "parameter_size", "quantization_level"):
            assert name in model["details"], (name, model)
    for line in ask("/api/chat", HI)[2].splitlines():
        frame = json.loads(line)
        found = (type(frame["model"]), type(frame["message"]["content"]), frame["message"]["role"], type(frame["done"]))
        equal(found, (str, str, "assistant", bool))
        datetime.datetime.fromisoformat(frame["created_at"].replace("Z", "+00:00")[:26])
    for name in (
        "done_reason",
        "total_duration",
        "load_duration",
        "prompt_eval_count",
        "prompt_eval_duration",
        "eval_count",
        "eval_duration",
    ):
        assert name in frame, (name, frame)


def c172_expires_at():
    ask("/api/generate", {"model": MODEL, "keep_alive": "5m"})
    loaded = json.loads(ask("/api/ps")[2])["models"]
    assert loaded, "expected a loaded model"
    for model in loaded:
        # Python 3.11 reads nanoseconds; older ones have to be spared them.
        assert datetime.datetime.fromisoformat(model["expires_at"]).tzinfo, model


PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Private-Network": "true",
    "Access-Control-Request-Headers": "authorization,dangerously-allow-browser",
}


def c175_preflights():
    for origin in ("app://obsidian.md", "tauri://localhost", "http://tauri.localhost", "http://localhost:5173"):
        status, headers, _ = bare("/v1/chat/completions", headers={"Origin": origin, **PREFLIGHT}, method="OPTIONS")
        equal((origin, status // 100, headers["Access-Control-Allow-Origin"]), (origin, 2, origin))
        for name in ("authorization", "dangerously-allow-browser"):
            contains((headers["Access-Control-Allow-Headers"] or "").lower(), name)


def c176_other_origins():
    for method, body in (("OPTIONS", None), ("POST", HI)):
        found = bare("/v1/chat/completions", body, {"Origin": "https://example.com", **PREFLIGHT}, method)
        equal((method, found[0], found[1]["Access-Control-Allow-Origin"]), (method, 403, None))


def c177_other_hosts():
    connection = http.client.HTTPConnection(ADDRESS, timeout=60)
    connection.putrequest("GET", "/api/tags", skip_host=True)
    connection.putheader("Host", "evil.example")
    connection.endheaders()
    assert connection.getresponse().status in (403, 421)


def c178_completion():
    status, _, body = ask("/completion", {"prompt": "<|say|>", "n_predict": 16, "model": MODEL})
    equal((status, json.loads(body).get("content")), (200, HELLO))


if __name__ == "__main__":
    main()
