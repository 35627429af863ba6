#!/usr/bin/env bash
# Make the demo's simulated people again: about a minute on two CPU cores.
#
#   bash demos/simulated_people/make.sh VOICES MAKEHUMAN MAKEHUMAN_ASSETS OUT
#
# VOICES: a folder with speakers.csv and flac/, as for checkpoints/train_starter.sh. From its training speakers only pitch,
# vocal-tract length and tilt are taken, so that the law is the starter's; what is heard is spoken by espeak-ng 1.51, which
# must be installed. MAKEHUMAN, MAKEHUMAN_ASSETS: checkouts. OUT: new folder; people/ in it is what lies here.
set -euo pipefail
voices=$(realpath "$1") makehuman=$2 assets=$3 out=$4
spoken=$out/voices
mkdir -p "$spoken"
ln -sfn "$voices/flac" "$spoken/flac"
grep -v ',dev,' "$voices/speakers.csv" >"$spoken/speakers.csv"
sentences=(
  "The last train had already left, so we walked home along the river and counted the lights on the bridges."
  "My neighbour grows tomatoes on the roof, and every August she gives away more than anybody can eat."
  "Please put the blue folder on the second shelf, beside the lamp, and close the window before it rains."
  "Nobody knows who painted the old lighthouse yellow, but sailors say that it is easier to find now."
  "We planned to stay for one night, and then the snow came and kept us there for most of a week."
  "The bakery on the corner opens at six, and by seven the smell of bread has reached the whole street."
)
women=(f1 f2 f3 f4 f5 Alicia Andrea Annie belinda linda steph steph2 steph3 aunty)
men=(m1 m2 m3 m4 m5 m7 m8 Alex Andy antonio benjamin david edward john Lee max michael Mike)
accents=(en-us en-gb-x-rp en-gb-scotland en-us-nyc)
n=0
for who in "${women[@]}" "${men[@]}"; do
  gender=m
  [[ " ${women[*]} " == *" $who "* ]] && gender=f
  espeak-ng -v "${accents[n % 4]}+$who" -s $((150 + n % 5 * 6)) -p $((44 + n * 7 % 15)) -w "$spoken/espeak-$who.wav" "${sentences[n % 6]}"
  echo "espeak-$who,$gender,dev,espeak-$who.wav" >>"$spoken/speakers.csv"
  n=$((n + 1))
done
s2f simulate "$out/people" --voices "$spoken" --makehuman "$makehuman" --makehuman_assets "$assets" \
  --identities 32 --views 0 --only test --seed 0
cd "$out/people"
rm -r contact_sheet.png landmarks.csv population.json recordings.json summary.html
