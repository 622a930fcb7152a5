# SPDX-License-Identifier: Apache-2.0
#
# recording.sh: records what passes between the programs of a world. Source world.sh first.
#
#	world_start
#	tap_syncd             # from now on every coffer-syncd is started under a tap: tapes in $TAPES, the programs in $BUILD
#	record_relay          # from now on RELAY is a proxy that writes all traffic to $WIRE
#	stop_agent alice      # so that key_scan may open the profile
#	dump_memory PID FILE  # what a process holds; fails without the right to see it

tap_syncd() {
	local p
	TOOLS=$BUILD/tests
	TAPES=$W/bin/tape
	mkdir -p "$TAPES"
	for p in coffer coffer-fs coffer-relay; do
		cp "$BUILD/$p" "$W/bin/$p"
	done
	cp "$BUILD/coffer-syncd" "$W/bin/coffer-syncd.real"
	cp "$TOOLS/syncd_tap" "$W/bin/coffer-syncd"
	BUILD=$W/bin
}

record_relay() {
	WIRE=$W/wire
	python3 "$(dirname "${BASH_SOURCE[0]}")/recording_proxy.py" "$PORT" "$WIRE" "$W/proxy.port" &
	WORLD_PIDS="$WORLD_PIDS $!"
	await 10 test -s "$W/proxy.port" || fail "no proxy"
	RELAY=http://127.0.0.1:$(cat "$W/proxy.port")
	relay_stop
	RELAY_ARGS="--origin $RELAY"
	relay_start
}

stop_agent() {
	local pid m
	pid=$(agent_pid "$1") || fail "no agent of $1"
	coffer "$1" umount "$W/$1.mnt" || fail "umount of $1"
	kill "$pid"
	await 20 gone "$pid" || fail "the agent of $1 does not end"
}

dump_memory() {
	python3 - "$1" "$2" <<-'PY'
	import re, sys
	with open(f"/proc/{sys.argv[1]}/maps") as maps, open(f"/proc/{sys.argv[1]}/mem", "rb", 0) as mem, open(sys.argv[2], "wb") as out:
	    for line in maps:
	        begin, end = (int(x, 16) for x in re.match(r"(\w+)-(\w+)", line).groups())
	        if line.split()[-1] in ("[vvar]", "[vsyscall]") or end - begin > 1 << 30:
	            continue
	        try:
	            mem.seek(begin)
	            while begin < end and (data := mem.read(min(end - begin, 1 << 20))):
	                begin += len(data)
	                if data.count(0) < len(data):
	                    out.write(data)
	        except OSError:
	            pass
	PY
}
