#!/bin/bash
# Runs the tests that go by chance for so many seconds, each again and again with another seed, and sums up what they did: a table for
# docs/DURABILITY.md. Called by `make torture`, in the repository's folder.
set -uo pipefail

total=${1:?seconds}
round=900 # seconds at most in which every test has its share
bin=bin/torture
go=${GO:-go}

# share, program, test
tests='
3  store       TestPowerLossAfterAnyOperationLosesNothing
4  store       TestPowerLossInCollectAndRepairLosesNothing
8  store       TestPowerLossInCollectInSeveralPlacesLosesNothing
8  store       TestPowerLossInSeveralPlacesLosesNothing
1  store       TestPowerLossAtTheEndOfReplacingIsMadeUp
1  store       TestKeyPowerLossLeavesOneThatOpens
2  store       TestDamageInPlacesHeals
2  store       TestDamageInOnePlaceHeals
2  store-race  TestReadersWritersAndPlacesAtOnce
2  store-race  TestCollectBesideBackupsAndReaders
2  store-race  TestPlacesChangeWhileInUse
3  snapshot    TestAnyHistoryKeepsAllVersions
4  daemon      TestRandomLivesFollowTheRules
2  snapshot    TestDamageWithinParityIsHealed
2  snapshot    TestDamageBeyondParityNamesJustWhatIsLost
8  capture     TestVersionByJournalIsThatByWalk
4  capture     TestVersionByJournalIsThatByWalkWhereFoldersAreIgnored
2  capture     TestVersionByJournalLeavesOutWhatOneByWalkDoes
30 integration TestKillAtAnyMomentLosesNothing
6  integration TestDamageWithinParityIsReadAroundAndRepaired
6  integration TestDamageBeyondParityIsNamedAsItReads
12 integration TestEverythingAtOnceWithoutARace
6  integration TestFiftyReadersBesideAllOtherWork
'
shares=$(awk '{ n += $1 } END { print n }' <<<"$tests")

mkdir -p $bin
rm -f $bin/*.log $bin/tallies
$go test -c -o $bin/store.test ./store &&
	$go test -c -o $bin/snapshot.test ./snapshot &&
	$go test -c -o $bin/capture.test ./snapshot/capture &&
	$go test -c -o $bin/daemon.test ./daemon &&
	$go test -c -o $bin/integration.test ./integration || exit 1
if command -v gcc >/dev/null; then
	CGO_ENABLED=1 $go test -race -c -o $bin/store-race.test ./store || exit 1
else
	echo "No gcc: without the race detector."
	cp $bin/store.test $bin/store-race.test
fi

runs=0 failures=0 rounds=0 stop=
trap 'stop=1' INT TERM

# try runs a test once, with a seed of its own and some seconds to go on.
try() {
	local program=$1 test=$2 seconds=$3 seed log began code=0
	local dir=${program%-race} race=
	[ "$dir" = "$program" ] || race=' -race'
	[ "$dir" != capture ] || dir=snapshot/capture
	seed=$(od -An -N8 -tu8 /dev/urandom | tr -d ' ')
	log=$bin/$program-$test-$seed.log
	began=$SECONDS
	(cd "$dir" && YESTER_SEED=$seed YESTER_TORTURE=$seconds "$OLDPWD/$bin/$program.test" -test.v -test.run "^$test\$" -test.timeout $((seconds + 900))s) >"$log" 2>&1 || code=$?
	[ -z "$stop" ] || return
	runs=$((runs + 1))
	printf '%s  %s %s  YESTER_SEED=%s  %d s' "$(date +%T)" "$program" "$test" "$seed" $((SECONDS - began))
	if [ $code -ne 0 ]; then
		failures=$((failures + 1))
		printf '  FAILED\n'
		tail -n 60 "$log" | cut -c1-500
		echo "All of it is in $log. To have it again: YESTER_SEED=$seed YESTER_TORTURE=$seconds $go test$race -count=1 -v -timeout 0 -run '^$test\$' ./$dir"
		return
	fi
	grep -q -- '--- SKIP' "$log" && printf '  skipped'
	printf '\n'
	sed -n 's/.*tally: //p' "$log" >>$bin/tallies
	rm "$log"
}

end=$((SECONDS + total))
while [ -z "$stop" ] && [ $SECONDS -lt $end ]; do
	rounds=$((rounds + 1))
	length=$((end - SECONDS < round ? end - SECONDS : round))
	while read -r share program test; do
		[ -n "$program" ] || continue
		until=$((SECONDS + length * share / shares))
		while [ -z "$stop" ] && [ $SECONDS -lt $end ]; do
			try "$program" "$test" $((until > SECONDS ? until - SECONDS : 1)) </dev/null
			[ $SECONDS -lt $until ] || break
		done
	done <<<"$tests"
done

echo
echo "| $(date -u +%F), $(git describe --tags --always --dirty), $(nproc) cores, $total seconds | |"
echo "|---|---:|"
echo "| rounds | $rounds |"
echo "| runs of a test, each with its own seed | $runs |"
touch $bin/tallies
awk '{ n = $1; $1 = ""; if (!($0 in sum)) order[++kinds] = $0; sum[$0] += n }
	END { for (i = 1; i <= kinds; i++) printf "|%s | %d |\n", order[i], sum[order[i]] }' $bin/tallies
echo "| failures | $failures |"
[ $failures -eq 0 ]
