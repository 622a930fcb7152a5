# SPDX-License-Identifier: Apache-2.0
#
# kill_rounds.sh: kills one program again and again at random moments while files are copied, then compares. Source world.sh first.
#
#	make_files DIR N               # N files of mixed sizes
#	kill_rounds WHAT ROUNDS        # WHAT: fs, syncd or relay; uses alice and desktop, and $W/source

make_files() {
	python3 - "$1" "$2" <<-'PY'
	import os, random, sys
	r = random.Random(7)
	for i in range(int(sys.argv[2])):
	    d = f"{sys.argv[1]}/d{i % 23}/e{i % 7}"
	    os.makedirs(d, exist_ok=True)
	    size = r.choice([0, 10, 900, 1500, 5000, 30000, 30000, 200000, 1500000 if i % 50 == 0 else 3000])
	    open(f"{d}/f{i}", "wb").write(r.randbytes(size))
	PY
}

# every file that was acknowledged is in DIR, with its bytes
check_acked() {
	python3 - "$W/source" "$1" "$W/acks" <<-'PY' || fail "acknowledged files are missing or differ"
	import os, sys
	source, target, acks = sys.argv[1:4]
	bad = 0
	for path in filter(None, open(acks).read().split("\n")):
	    try:
	        same = open(f"{source}/{path}", "rb").read() == open(f"{target}/{path}", "rb").read()
	    except OSError as e:
	        same = False
	    if not same:
	        bad += 1
	        if bad <= 5: print("lost or different:", path, file=sys.stderr)
	sys.exit(bad > 0)
	PY
}

# a random moment: up to $1 ms from now
random_wait() {
	local ms
	printf -v ms '%d.%03d' $((RANDOM % $1 / 1000)) $((RANDOM % $1 % 1000))
	read -rt "$ms" <> <(:) || :
}

kill_rounds() {
	local what=$1 rounds=$2 pid copier i
	: > "$W/acks"
	for i in $(seq "$rounds"); do
		python3 "$(dirname "${BASH_SOURCE[0]}")/../tools/acked_copy.py" "$W/source" "$W/alice.mnt/Work" "$W/acks" 2> "$W/copy.err" &
		copier=$!
		random_wait 300
		case $what in
		fs)
			pid=$(agent_pid alice) && kill -9 "$pid"
			wait $copier || :
			await 10 gone "$pid"
			mount_of alice || fail "round $i: the mount does not come back"
			check_acked "$W/alice.mnt/Work"
			;;
		syncd)
			pid=$(syncd_pid alice) && kill -9 "$pid"
			random_wait 100
			kill $copier 2>/dev/null || :
			wait $copier 2>/dev/null || :
			;;
		relay)
			relay_stop KILL
			random_wait 100
			relay_start
			kill $copier 2>/dev/null || :
			wait $copier 2>/dev/null || :
			;;
		esac
	done
	python3 "$(dirname "${BASH_SOURCE[0]}")/../tools/acked_copy.py" "$W/source" "$W/alice.mnt/Work" "$W/acks" || fail "the copy cannot be finished"
	coffer alice wait --timeout 240s || fail "alice is not in step"
	coffer desktop wait --timeout 240s || fail "the desktop is not in step"
	check_acked "$W/alice.mnt/Work"
	check_acked "$W/desktop.mnt/Work"
	diff -r "$W/alice.mnt/Work" "$W/desktop.mnt/Work" || fail "the trees differ"
	echo "$what: $rounds kills, $(wc -l < "$W/acks") files acknowledged, all there on both devices"
}

kill_world() {
	world_start
	make_files "$W/source" "${1:-2000}"
	new_person alice
	coffer alice space create Work
	new_device desktop alice
	await 20 test -d "$W/desktop.mnt/Work" || fail "the space did not arrive"
}
