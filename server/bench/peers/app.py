"""What HTTPX runs in the comparison: an ASGI application without a framework, and one pooled client."""

import asyncio
import json
from urllib.parse import parse_qs

import httpx

client: httpx.AsyncClient


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    query = {key: values[0] for key, values in parse_qs(scope["query_string"].decode()).items()}
    status, content_type, body = 200, b"application/json", b""
    match scope["path"]:
        case "/fan":
            body = json.dumps(await fan(query["id"], query["url"], int(query["n"]))).encode()
        case "/pass":
            response = await client.get(query["url"])
            content_type, body = response.headers["content-type"].encode(), response.content
        case "/trivial":
            body = json.dumps({"id": query["id"]}).encode()
        case _:
            status, body = 404, b'{"error":"no such path"}'
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def lifespan(receive, send):
    global client
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
            client = httpx.AsyncClient(limits=limits, timeout=120, trust_env=False)
            await send({"type": "lifespan.startup.complete"})
        else:
            await client.aclose()
            await send({"type": "lifespan.shutdown.complete"})
            return


async def one(url):
    response = await client.get(url)
    return len(response.content) if response.status_code == 200 else -1


async def fan(id, url, n):
    sizes = await asyncio.gather(*(one(url) for _ in range(n)))
    good = [size for size in sizes if size >= 0]
    return {"id": id, "ok": len(good), "bytes": sum(good)}
