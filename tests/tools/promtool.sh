#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Prints where Prometheus's promtool is. Unless it is installed, it is taken out of Debian's package, which apt fetches (30 MB) and
# nobody installs, since that would start a server; a second run finds it in build/promtool. Ends with 69 and says why if it
# cannot be had.
set -euo pipefail
cache=$(cd "$(dirname "$0")/../.." && pwd)/build/promtool
command -v promtool && exit
mkdir -p "$cache"
exec 9> "$cache/lock"
flock 9
if [ ! -x "$cache/promtool" ]; then
	cd "$cache"
	{ apt-get download prometheus || { apt-get update && apt-get download prometheus; }; } > log 2>&1 || {
		echo "promtool.sh: apt cannot fetch the Debian package prometheus ($(tail -n 1 log)); install it" >&2
		exit 69
	}
	dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x --strip-components=3 ./usr/bin/promtool
	rm -f prometheus_*.deb
fi
echo "$cache/promtool"
