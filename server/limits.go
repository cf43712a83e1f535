package server

import "time"

// The server's own limits, each with its reason. What an invocation may use is the manifest's to say, not these.
const (
	// maxWasm is the largest module taken. A Go plugin has 3 to 10 MiB, and a deploy holds its module in memory.
	maxWasm = 64 << 20
	// maxManifest is the largest manifest taken; package manifest reads no more.
	maxManifest = 256 << 10
	// maxUpload bounds a whole deploy: the two large parts, and the signature and what multipart writes around them all.
	maxUpload = maxWasm + maxManifest + 64<<10
	// maxPartHead bounds what precedes a part's content: two lines, of which the server needs the name.
	maxPartHead = 64 << 10
	// uploadTime is how long a deploy's body may take to arrive: 64 MiB at 2 Mbit/s.
	uploadTime = 5 * time.Minute
	// deploys is how many modules of deploys are compiled at once at most; the others wait, holding theirs.
	deploys = 4

	// bodyIdle is how long no byte of a request's body may come, or a client not take writeChunk of an answer, before that is given up:
	// longer than a phone needs to change networks.
	bodyIdle = 30 * time.Second
	// bodyRate is how fast bodies must move on average in either direction, in bytes per second, once bodyGrace is over. Half a Mbit/s
	// is less than any network has that people use, and ends the largest answer by default (16 MiB) in 5 minutes.
	bodyRate = 64 << 10
	// bodyGrace is how long a body may be slower. Most are over by then, and TCP has found its speed.
	bodyGrace = 30 * time.Second
	// writeChunk is what is written of an answer under one deadline.
	writeChunk = 64 << 10
	// streamHeld is what a body that goes in pieces counts for in process.memory, in either direction: as much as the host keeps of it.
	streamHeld = 64 << 10
	// streamGrace is how much longer than limits.stream a piece may be on its way. The host keeps that limit, and says so when it's over;
	// a client that takes nothing mustn't hold it up.
	streamGrace = time.Second
	// hangupTime is how often a connection is asked whether the client has gone, while nobody reads from it.
	hangupTime = 250 * time.Millisecond
	// hangupRoom is how much of a body that nobody reads the system may take, so that a client's going can be seen behind it. One that has
	// sent more is missed when the body is read on, or the answer is written.
	hangupRoom = 2 << 20
	// drainTime is how long net/http may go on reading a body that the server didn't want, once it has been answered.
	drainTime = time.Second
	// bodyStart is what is set aside for a request's body before it arrives: what Content-Length claims costs a client
	// nothing, so the buffer grows only as bytes come; see share.readAll.
	bodyStart = 16 << 10

	// loadRetry is how long the failure to load a stored version is remembered, so that callers can't keep the server
	// compiling.
	loadRetry = 5 * time.Second
	// pinnedVersions is how many versions without traffic stay loaded after a caller pinned one.
	pinnedVersions = 8
	// closeTime is how long a version that nobody uses any more may take to give its memory back.
	closeTime = 30 * time.Second

	// reportBytes is the memory for reports. An invocation with ten fetches has one of about 20 KiB, most of it header fields.
	reportBytes = 64 << 20
	// reportCount is how many reports are kept at most: what many invocations without fetches could otherwise take of the map.
	reportCount = 4096
	// reportMost is the largest report kept whole. The host records at most 4,096 fetches and 1 MiB of header fields, 13 MiB.
	reportMost = reportBytes / 4

	// invocationsDefault and invocationsMost are how many invocations are listed: a screen of them, and what a person may want to search.
	invocationsDefault = 50
	invocationsMost    = 500
	// explainBytes is the longest URL that is explained. A fetch's may have as much as the host takes; records keep 1 KiB of it.
	explainBytes = 16 << 10

	// logBytes and logLines bound the lines of all plugins, pluginLogBytes and pluginLogLines those of one: what somebody who has
	// just seen a failure scrolls through. The counts bound empty lines.
	logBytes       = 32 << 20
	logLines       = 128 << 10
	pluginLogBytes = 512 << 10
	pluginLogLines = 1000
	// logLine is where a line is cut; the report has it whole. The host cuts what a plugin prints at 8 KiB.
	logLine = 16 << 10
	// logPlace is what the store itself needs for a line.
	logPlace = 128
	// logDefault is how many lines are shown to whoever doesn't say.
	logDefault = 100
	// logIDLength is that of the part of an event's id that tells one log from another.
	logIDLength = 8
	// maxFollowers is how many clients may follow logs at once: each holds a connection, and up to followBatch bytes of text.
	maxFollowers = 256
	followBatch  = 32 << 10
	// heartbeatTime is how often a follower hears something: proxies give a silent connection up after 30 to 60 s.
	heartbeatTime = 15 * time.Second

	// jsonBytes is the largest body of JSON that the API takes: a traffic table of 1,000 versions has 40 KiB.
	jsonBytes = 64 << 10
	// noteBytes is the longest note that somebody can leave with a change.
	noteBytes = 1000
	// auditMost is how many events are shown at once: about a MiB.
	auditMost = 1000
	// secretBytes is the largest body that sets a secret: its value may have 64 KiB, and six times as many in JSON; the patterns are short.
	secretBytes = 1 << 20
	// secretsEach is how often secrets' files are looked at, fileTick how coarse the times of a file may be: 2 s on FAT.
	secretsEach = time.Second
	fileTick    = 2 * time.Second
	// tokenTime is how long a token is good for by default, tokenLongest at most unless it never expires.
	tokenTime    = 90 * 24 * time.Hour
	tokenLongest = 3650 * 24 * time.Hour
	// tokenPatterns is how many name patterns a token can have.
	tokenPatterns = 64

	// usageEvery is how often it's kept what plugins with a quota have used.
	usageEvery = 10 * time.Second

	// smokeTime is how long a version may take to answer its smoke request: those who wait are the deploys of the same plugin.
	smokeTime = 30 * time.Second
	// changeRate is how many changes of plugins a deployer's token may make in a second, changeBurst how many at once: each is in the audit log for
	// good, which has an end.
	changeRate  = 2
	changeBurst = 120

	// readHeaderTime, idleTime and headerBytes bound a connection outside of a request; see HTTPServer.
	readHeaderTime = 10 * time.Second
	idleTime       = 2 * time.Minute
	headerBytes    = 64 << 10
)
