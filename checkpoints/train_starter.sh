#!/usr/bin/env bash
# Train the starter from nothing and put it in checkpoints/starter: an hour and a half or more on two CPU cores, of which
# the simulation takes 14 minutes. A stage that is done is skipped, an interrupted one resumes.
#
#   bash checkpoints/train_starter.sh VOICES MAKEHUMAN MAKEHUMAN_ASSETS [OUT]
#
# VOICES: a folder with speakers.csv, or LibriSpeech; MAKEHUMAN, MAKEHUMAN_ASSETS: checkouts of makehumancommunity's
# repositories makehuman and makehuman-assets; OUT: where data and runs go (runs/starter). Resemblyzer's weights are
# needed while training (pip install --no-deps resemblyzer==0.1.4); nothing of them is shipped.
set -euo pipefail
cd "$(dirname "$0")/.."
voices=$1 makehuman=$2 assets=$3 out=${4:-runs/starter}

simulate() { # folder, further flags
  [ -f "$1/summary.html" ] && return
  s2f simulate "$@" --voices "$voices" --makehuman "$makehuman" --makehuman_assets "$assets"
}
launch() { # stage, further flags
  local stage=$1
  shift
  accelerate launch --num_processes 1 --num_cpu_threads_per_process "$(nproc)" --num_machines 1 --mixed_precision no --dynamo_backend no \
    "train_$stage.py" --config "s2f/recipes/starter_$stage.yaml" --data "$out/data" --output_dir "$out/$stage" "$@"
}
train() { # stage, exported folder, further flags
  local stage=$1 exported=$2
  shift 2
  [ -d "$out/$stage/$exported" ] && return
  local resume=()
  compgen -G "$out/$stage/checkpoint-*/step.json" > /dev/null && resume=(--resume_from_checkpoint latest)
  launch "$stage" "${resume[@]}" "$@"
}
simulate "$out/data" --identities 3000 --views 4 --seed 0
simulate "$out/test" --identities 2000 --only test --pictures false --seed 1
train landmarks landmarks
train face face_encoder
train decoder decoder --face_encoder "$out/face/face_encoder"
frozen=(--face_encoder "$out/face/face_encoder" --decoder "$out/decoder/decoder")
train s2f pipeline "${frozen[@]}"
# Two more cycles of the learning rate: what can be heard weighs more; then age classes are as frequent as they are. The
# third starts at step 1600 of the second.
heard='{f0: 100, tract: 100, gender: 100, age_class: 100, embedding: 100}'
[ -f "$out/s2f/checkpoint-1600/step.json" ] ||
  launch s2f "${frozen[@]}" --resume_from_checkpoint latest --accept_changes true --max_train_steps 1700 --side_tasks "$heard"
[ -f "$out/s2f/checkpoint-2000/step.json" ] || launch s2f "${frozen[@]}" --max_train_steps 2000 \
  --resume_from_checkpoint "$out/s2f/checkpoint-1600" --accept_changes true --side_tasks "$heard" --balance '[voice_gender]' --learning_rate 0.004

checkpoint=$out/checkpoint
if [ ! -d "$checkpoint" ]; then
  rm -rf "$checkpoint.partial"
  cp -r "$out/s2f/pipeline" "$checkpoint.partial"
  cp -r "$out/landmarks/landmarks" "$checkpoint.partial/landmarks"
  s2f weights fit-unexplained "$checkpoint.partial" "$out/data" > "$out/explained.txt"
  mv "$checkpoint.partial" "$checkpoint"
fi
s2f-eval demographics "$checkpoint" "$out/data" --voices "$voices" --faces --conditions --pictures "$out/pictures" --json > "$out/demographics.json"
s2f-eval simulated "$checkpoint" "$out/test" --probes "$out/data" --landmarks "$checkpoint/landmarks" --json > "$out/simulated.json"
rm -rf checkpoints/starter.partial
cp -r "$checkpoint" checkpoints/starter.partial
python -m checkpoints.starter_card "$out" checkpoints/starter.partial
rm -rf checkpoints/starter
mv checkpoints/starter.partial checkpoints/starter
python benchmarks/starter_voices.py "$voices" "$out/pictures" docs/pictures/starter_voices.png
cp "$out/data/contact_sheet.png" docs/pictures/simulated_people.png
