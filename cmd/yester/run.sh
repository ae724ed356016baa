#!/bin/sh
# The body of `make run`: start a daemon of our own, activate it for PATHS, take a version, say where it is, and stay until Ctrl-C.
#
#   YESTER_HOME  folder for vault, index, state, socket and mount; default .yester
#   PATHS        what to back up, separated by spaces; default /etc and the checkout. A path with a space in it cannot be given here:
#                use `yester activate --path 'a b'` against the running daemon.
set -eu

cd "$(dirname "$0")/../.."
yester=$PWD/bin/yester
home=${YESTER_HOME:-.yester}
case $home in /*) ;; *) home=$PWD/$home ;; esac
paths=${PATHS:-/etc $PWD}
log=$home/daemon.log
socket=$home/run/yester.sock
export YESTER_HOME="$home"

# quoted prints a word as one has to type it.
quoted() {
	case $1 in
	*[!a-zA-Z0-9/._+:@%,=-]*) printf "'%s'" "$(printf %s "$1" | sed "s/'/'\\\\''/g")" ;;
	*) printf %s "$1" ;;
	esac
}

fail() {
	echo "make run: $*" >&2
	exit 1
}

# end stops the daemon, once, and checks that nothing of it is left.
end() {
	code=$?
	trap - EXIT
	trap '' INT TERM HUP
	if [ -n "${daemon:-}" ] && kill -TERM "$daemon" 2>/dev/null; then
		echo "Stopping the daemon …"
		wait "$daemon" || { tail -n 3 "$log" >&2; code=1; }
		if grep -qF " $(printf %s "$home/mnt" | sed 's/ /\\040/g') " /proc/self/mounts; then
			echo "make run: $home/mnt is still mounted; umount -l $(quoted "$home/mnt")" >&2
			code=1
		else
			echo "Stopped; nothing is mounted any more. The versions stay in $home/vault."
		fi
	fi
	exit "$code"
}

[ -x "$yester" ] || fail "there is no bin/yester; run 'make build' first"
[ "$(id -u)" = 0 ] || fail "only root can read everybody's files; run it as root, or with sudo"
if [ -e "$home" ] && [ ! -d "$home" ]; then fail "$home is a file, not a folder; give another YESTER_HOME"; fi
mkdir -p "$home"
if "$yester" status >/dev/null 2>&1; then
	fail "a daemon serves $home already (pid $(cat "$home/run/yester.pid")); end that with Ctrl-C or kill, or give another YESTER_HOME"
fi

ready=
trap end EXIT
trap '[ -n "$ready" ] || exit 130; exit 0' INT
trap 'exit 143' TERM HUP

# Ctrl-C reaches the whole foreground group. The daemon gets a session of its own, so that it ends when we say so and not before.
setsid "$yester" daemon 2>"$log" &
daemon=$!
tries=0
until "$yester" status >/dev/null 2>&1; do
	if ! kill -0 "$daemon" 2>/dev/null; then
		daemon=
		fail "the daemon did not start: $(tail -n 1 "$log")"
	fi
	tries=$((tries + 1))
	[ $tries -lt 300 ] || fail "the daemon does not answer at $socket; see $log"
	sleep 0.1
done

# Codes: 0 done, 3 done with warnings.
warned() { [ $1 = 0 ] || [ $1 = 3 ] || exit $1; }

set -f
set -- --priority max
for p in $paths; do set -- "$@" --path "$p"; done
set +f
code=0
"$yester" activate "$@" || code=$?
warned $code
echo
code=0
setsid "$yester" backup --wait & # as the daemon: what ends it is the daemon's end
wait $! || code=$?
warned $code

me=$(quoted "$yester")
at=$(quoted "$home")
set -f
set -- $paths
set +f
first=$(realpath -- "$1")
latest=$("$yester" versions --json | sed -n 's/^ *"path": "\(.*\)",\{0,1\}$/\1/p' | tail -n 1)
echo
if [ -n "$latest" ]; then
	cat <<END
Browse it in $latest
To try, in another terminal:
  ls -la $(quoted "$latest$first")
  cp -a $(quoted "$latest$first") /tmp/restored
  $me --home $at versions
END
else
	echo "It cannot be browsed here, for nothing is mounted. In another terminal: $me --home $at status"
fi
ready=yes
echo "Ctrl-C ends the daemon. Run it again for the next version."
wait "$daemon" || fail "the daemon ended: $(tail -n 1 "$log")"
