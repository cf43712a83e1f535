package fetchtest

var methodCases = []testCase{
	{class: "methods", name: "GET", do: `GET /echo`, want: `200 "GET /echo" direct attempts=1 at=/echo # requests=1 bytes=9`},
	{class: "methods", name: "HEAD has no body", do: `HEAD /bytes/7`, want: `200 "" content-length:7 # bytes=0`},
	{class: "methods", name: "POST with a body", do: `POST /echo?show=content-length body=hello`, want: `200 "POST /echo\ncontent-length: 5\nhello"`},
	{class: "methods", name: "PUT with a body", do: `PUT /echo body=hello`, want: `200 "PUT /echo\nhello"`},
	{class: "methods", name: "PATCH with a body", do: `PATCH /echo body=hello`, want: `200 "PATCH /echo\nhello"`},
	{class: "methods", name: "DELETE with a body", do: `DELETE /echo body=hello`, want: `200 "DELETE /echo\nhello"`},
	{class: "methods", name: "GET with a body", do: `GET /echo body=hello`, want: `200 "GET /echo\nhello"`},
	{class: "methods", name: "an empty POST has a length", do: `POST /echo?show=content-length`, want: `200 "POST /echo\ncontent-length: 0"`},
	{class: "methods", name: "a GET has none", do: `GET /echo?show=transfer-encoding`, want: `200 "GET /echo"`},
	{class: "methods", name: "OPTIONS", do: `OPTIONS /echo`, want: `200 "OPTIONS /echo"`},
	{class: "methods", name: "one that nobody knows", do: `BREW /echo`, want: `200 "BREW /echo"`},
	{class: "methods", name: "get is GET", do: `get /echo`, want: `200 "GET /echo"`},
	{class: "methods", name: "patch isn't PATCH", do: `patch /echo`, want: `200 "patch /echo"`, needs: spelled},
	{class: "methods", name: "CONNECT can't be used", do: `CONNECT /echo`, want: `invalid_request final # requests=0`},
	{class: "methods", name: "TRACE can't be used", do: `trace /echo`, want: `invalid_request # requests=0`},
	{class: "methods", name: "one that is no token", do: `"G ET" /echo`, want: `invalid_request # requests=0`},
	{class: "methods", name: "one with a line break", do: `"GET\r\nX: y" /echo`, want: `invalid_request # requests=0`},
	{class: "methods", name: "a body of any length", do: `POST /echo body=*300000`, want: `200 length=300011`},
	{class: "methods", name: "a body in pieces", do: `POST /echo upload=*300000`, want: `200 length=300011`, needs: upload},
	{class: "methods", name: "an empty body in pieces", do: `POST /echo upload=`, want: `200 "POST /echo"`, needs: upload},
}

var headerCases = []testCase{
	{class: "headers", name: "what a request has by itself", do: `GET /echo?show=accept&show=user-agent&show=accept-encoding`,
		want: `200 "GET /echo\naccept: */*\nuser-agent: sortie\naccept-encoding: gzip, deflate, br, zstd"`},
	{class: "headers", name: "what it has of its own", do: `GET /echo?show=accept&show=user-agent accept:text/plain user-agent:mine`,
		want: `200 "GET /echo\naccept: text/plain\nuser-agent: mine"`},
	{class: "headers", name: "several of a name", do: `GET /echo?show=x-a x-a:1 x-a:2`, want: `200 "GET /echo\nx-a: 1, 2"`, needs: spelled},
	{class: "headers", name: "an empty value", do: `GET /echo?show=x-a x-a:`, want: `200 "GET /echo\nx-a: "`},
	{class: "headers", name: "spaces around a value", do: `GET /echo?show=x-a x-a:" 1 "`, want: `200 "GET /echo\nx-a: 1"`},
	{class: "headers", name: "Host is the URL's", do: `GET /echo?show=host host:evil.test`, want: `200 "GET /echo\nhost: up.test"`},
	{class: "headers", name: "Content-Length is the body's", do: `POST /echo?show=content-length body=hello content-length:3`,
		want: `200 "POST /echo\ncontent-length: 5\nhello"`},
	{class: "headers", name: "the host's own are left out", do: `GET /echo?show=te&show=upgrade&show=sortie-x&show=proxy-authorization te:trailers ` +
		`connection:close upgrade:h2c sortie-x:1 proxy-authorization:x keep-alive:1 transfer-encoding:chunked expect:100-continue`, want: `200 "GET /echo"`},
	{class: "headers", name: "a line break in a value", do: `GET /echo x-a:"1\r\nhost: evil.test"`, want: `invalid_request final # requests=0`},
	{class: "headers", name: "a bare line feed in a value", do: `GET /echo x-a:"1\nb"`, want: `invalid_request # requests=0`},
	{class: "headers", name: "a NUL in a value", do: `GET /echo x-a:"1\x00"`, want: `invalid_request # requests=0`},
	{class: "headers", name: "a name with a space", do: `GET /echo field="x a=1"`, want: `invalid_request # requests=0`},
	{class: "headers", name: "a name with a colon", do: `GET /echo field=":authority=evil.test"`, want: `invalid_request # requests=0`},
	{class: "headers", name: "a name with a line break", do: `GET /echo field="x\r\nhost=evil.test"`, want: `invalid_request # requests=0`},
	{class: "headers", name: "too long a value", do: `GET /echo field="x=` + long(70_000) + `"`, want: `invalid_request # requests=0`},
	{class: "headers", name: "Authorization is the guest's to send", do: `GET /echo?show=authorization authorization:"Bearer x"`,
		want: `200 "GET /echo\nauthorization: Bearer x"`},
	{class: "headers", name: "a response's fields", do: `GET /echo?set=x-a:1&set=x-a:2&set=x-b:3`, want: `200 x-a:"1, 2" x-b:3`},
	{class: "headers", name: "a response's cookies stay apart", do: `GET /echo?set=set-cookie:a=1&set=set-cookie:b=2`, want: `200 set-cookie:"a=1, b=2"`},
	{class: "headers", name: "those of the connection are left out", do: `GET /echo?set=keep-alive:timeout=9&set=proxy-authenticate:x`, want: `200 -keep-alive -proxy-authenticate -connection`},
	{class: "headers", name: "a response with many", do: `GET /fields/400`, want: `200 x-399:x`},
	{class: "headers", name: "a response with too many", do: `GET /fields/600`, want: `protocol_error`},
}

var urlCases = []testCase{
	{class: "URLs", name: "dot segments are resolved", do: `GET /a/../b/./echo`, want: `200 "GET /b/echo"`},
	{class: "URLs", name: "encoded dot segments too", do: `GET /a/%2e%2E/echo`, want: `200 "GET /echo"`},
	{class: "URLs", name: "backslashes are slashes", do: `GET {up}\echo`, want: `200 "GET /echo"`},
	{class: "URLs", name: "other escapes are left as they are", do: `GET /%65cho`, want: `200 "GET /%65cho"`},
	{class: "URLs", name: "spaces and quotes are encoded", do: `GET "/echo?query= 'x'<>"`, want: `200 "GET /echo\nquery=%20%27x%27%3C%3E"`},
	{class: "URLs", name: "umlauts are encoded", do: `GET /ü/echo`, want: `200 "GET /%C3%BC/echo"`},
	{class: "URLs", name: "tabs", do: `GET "/ec\tho"`, want: `invalid_url # requests=0`},
	{class: "URLs", name: "line breaks", do: `GET "/echo\n"`, want: `invalid_request # requests=0`},
	{class: "URLs", name: "a fragment stays here", do: `GET /echo#part`, want: `200 "GET /echo" at=/echo`},
	{class: "URLs", name: "an empty path is /", do: `GET {up}?show=host`, want: `200 "GET /\nhost: up.test"`},
	{class: "URLs", name: "the host in capitals", do: `GET {UP}/echo?show=host`, want: `200 "GET /echo\nhost: up.test"`},
	{class: "URLs", name: "userinfo", do: `GET {user}/echo`, want: `invalid_url final # requests=0`},
	{class: "URLs", name: "empty userinfo", do: `GET {at}/echo`, want: `invalid_url # requests=0`},
	{class: "URLs", name: "no scheme", do: `GET up.test/echo`, want: `invalid_url # requests=0`},
	{class: "URLs", name: "no port that is one", do: `GET http://up.test:99999/echo`, want: `invalid_url # requests=0`},
	{class: "URLs", name: "no address that is one", do: `GET http://999.1.1.1/echo`, want: `invalid_url # requests=0`},
	{class: "URLs", name: "no host", do: `GET http:///`, want: `invalid_url # requests=0`},
	{class: "URLs", name: "an empty one", do: `GET ""`, want: `invalid_url # requests=0`},
	{class: "URLs", name: "one that is too long", do: `GET "/` + long(70_000) + `"`, want: `invalid_url # requests=0`},
	{class: "URLs", name: "another protocol", do: `GET ftp://up.test/`, want: `unsupported_protocol final # requests=0`},
	{class: "URLs", name: "a file", do: `GET file:///etc/passwd`, want: `unsupported_protocol # requests=0`},
	{class: "policy", name: "a host without a rule", do: `GET {denied}/`, want: `host_denied final # requests=0`},
	{class: "policy", name: "a method not in the rule", do: `POST {get}/echo`, want: `method_denied final # requests=0`},
	{class: "policy", name: "one that is", do: `GET {get}/echo`, want: `200`},
	{class: "policy", name: "a path below the rule's", do: `GET {v1}/v1/echo`, want: `200`},
	{class: "policy", name: "a path beside it", do: `GET {v1}/v12/echo`, want: `host_denied # requests=0`},
	{class: "policy", name: "a path that leads out", do: `GET {v1}/v1/../echo`, want: `host_denied # requests=0`},
	{class: "policy", name: "a path that may lead out", do: `GET {v1}/v1/..%2fecho`, want: `host_denied # requests=0`},
	{class: "policy", name: "a private address behind a name", do: `GET {public}/echo`, want: `address_denied final # requests=1 seen=0`},
	{class: "policy", name: "a private address", do: `GET {literal}/echo`, want: `address_denied final # requests=1 seen=0`},
}

// long is a text of n bytes.
func long(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'x'
	}
	return string(b)
}
