// What workerd runs in the comparison.

async function one(url) {
  const response = await fetch(url);
  const body = await response.arrayBuffer();
  return response.status === 200 ? body.byteLength : -1;
}

async function fan(id, url, n) {
  const sizes = await Promise.all(Array.from({ length: n }, () => one(url)));
  const good = sizes.filter((size) => size >= 0);
  return Response.json({ id, ok: good.length, bytes: good.reduce((a, b) => a + b, 0) });
}

export default {
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    switch (pathname) {
      case "/fan":
        return fan(searchParams.get("id"), searchParams.get("url"), Number(searchParams.get("n")));
      case "/pass":
        return fetch(searchParams.get("url"));
      case "/trivial":
        return Response.json({ id: searchParams.get("id") });
      default:
        return Response.json({ error: "no such path" }, { status: 404 });
    }
  },
};
