#!/usr/bin/env bash
# Gets what the browser tests need: Node, the npm packages of the folders given, and Chromium. On Debian and Ubuntu what is missing is
# installed, as root or with a sudo that doesn't ask; elsewhere it says what to install.
set -euo pipefail

missing=()
command -v npm >/dev/null || missing+=(nodejs npm)
if [[ -z ${SORTIE_CHROMIUM:-} ]] && ! command -v chromium chromium-browser google-chrome >/dev/null; then
	missing+=(chromium)
fi
if ((${#missing[@]})); then
	as_root=()
	((EUID == 0)) || as_root=(sudo -n)
	if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
		echo "the browser tests need ${missing[*]}: install them, or say where Chromium is with SORTIE_CHROMIUM=/path/to/chrome;" \
			"SORTIE_BROWSER=skip leaves these tests out" >&2
		exit 1
	fi
	echo "installing ${missing[*]}" >&2
	"${as_root[@]}" apt-get update -qq
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
fi
if ! node -e 'process.exit(+(parseInt(process.versions.node) < 20))'; then
	echo "the browser tests need Node 20 or later, this is $(node --version): install it, or leave these tests out with SORTIE_BROWSER=skip" >&2
	exit 1
fi
for folder in "$@"; do
	# npm leaves this file when it is done: no newer lock, nothing to do.
	if [[ ! -e $folder/node_modules/.package-lock.json || $folder/package-lock.json -nt $folder/node_modules/.package-lock.json ]]; then
		(cd "$folder" && npm ci --silent --no-audit --no-fund --ignore-scripts)
		touch "$folder/node_modules/.package-lock.json"
	fi
done
