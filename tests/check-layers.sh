#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Layers: fails on any #include outside the sets below, and on a library used outside its home.
set -eu
cd "$(dirname "$0")/.."
shopt -s nullglob

# Folders that a folder may include.
declare -A FOLDERS=(
	[base]="base"
	[wire]="base wire"
	[crypto]="base wire crypto"
	[cache]="base wire crypto cache"
	[fusefs]="base wire crypto cache fusefs"
	[syncd]="base wire syncd"
	[server]="base wire server"
	[cli]="base wire cli"
)

# Single headers that a folder may include besides: nothing that opens content.
declare -A HEADERS=(
	[syncd]="crypto/session.h"
	[server]="crypto/verify.h crypto/log.h crypto/token.h crypto/chain.h crypto/hash.h crypto/cert.h crypto/jws.h"
)

# Library header (extended regular expression) and the folders that are its home.
LIBRARIES=(
	'sodium(/.*)?\.h:crypto'
	'zstd(_.*)?\.h:crypto cache fusefs'
	'sqlite3\.h:cache server'
	'libpq-fe\.h:server'
	'(fuse.*|fuse3/.*)\.h:fusefs'
	'curl/.*\.h:syncd server'
	'libwebsockets\.h:syncd server'
	'ev\.h:server'
	'xxhash\.h:server'
	'expat\.h:server'
	'openssl/.*:crypto'
	'intel-ipsec-mb\.h:crypto'
	'jansson\.h:server'
	'qrencode\.h:cli'
	'libsmartcols.*\.h:cli'
)

# Libraries that only one file of the whole project may include.
ONE_FILE=('zstd\.h')

bad=0
complain() {
	echo "$1" >&2
	bad=1
}

has() { # word list
	[[ " $2 " == *" $1 "* ]]
}

check_own() { # folder file:line header
	local folder=$1 where=$2 header=$3
	if [[ $header != */* ]]; then
		complain "$where: write \"folder/$header\""
	elif ! has "${header%%/*}" "${FOLDERS[$folder]}" && ! has "$header" "${HEADERS[$folder]:-}"; then
		complain "$where: $folder/ must not include $header"
	fi
}

check_library() { # folder file:line header
	local folder=$1 where=$2 header=$3 rule
	for rule in "${LIBRARIES[@]}"; do
		if [[ $header =~ ^${rule%:*}$ ]] && ! has "$folder" "${rule##*:}"; then
			complain "$where: <$header> has its home in ${rule##*:}"
		fi
	done
}

INCLUDE='^([^:]+:[0-9]+):[[:space:]]*#[[:space:]]*include[[:space:]]*([<"])([^">]+)[">]'
for folder in "${!FOLDERS[@]}"; do
	files=("$folder"/*.[ch])
	[ ${#files[@]} -gt 0 ] || continue
	while IFS= read -r line; do
		[[ $line =~ $INCLUDE ]] || { complain "$line: cannot read this include"; continue; }
		if [ "${BASH_REMATCH[2]}" = '"' ]; then
			check_own "$folder" "${BASH_REMATCH[1]}" "${BASH_REMATCH[3]}"
		else
			check_library "$folder" "${BASH_REMATCH[1]}" "${BASH_REMATCH[3]}"
		fi
	done < <(grep -HnE '^[[:space:]]*#[[:space:]]*include' "${files[@]}" || true)
done

for header in "${ONE_FILE[@]}"; do
	users=$(grep -lE "^[[:space:]]*#[[:space:]]*include[[:space:]]*<$header>" -- */*.[ch] || true)
	[ "$(wc -w <<< "$users")" -le 1 ] || complain "<${header/\\/}> is included by more than one file: "$users
done

exit $bad
