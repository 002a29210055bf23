#!/bin/sh
# One job of CI: check the recipe, run it, keep the gates as JUnit XML, and hold the result against the last good run.
#
#     examples/ci.sh RECIPE OUTPUT [BASELINE]
#
# BASELINE is the folder of an earlier run. Exit codes are attendc's: 2 recipe, 3 checkpoint, 4 data, 5 conversion,
# 6 parity, 7 accuracy (also: worse than the baseline).
set -eu

recipe=$1
output=$2
baseline=${3:-}

attendc recipe validate "$recipe"
attendc run "$recipe" --junit "$output.junit.xml" --force -o "$output"
if [ -n "$baseline" ]; then
    attendc compare "$baseline" "$output" --max-drop 0.5 -o "$output.compare.html"
fi
