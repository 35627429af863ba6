#!/usr/bin/env bash
# Train the starter from nothing and put it in checkpoints/starter. About 40 minutes on two CPU cores; a stage that is
# done is skipped, an interrupted one resumes.
#
#   bash checkpoints/train_starter.sh VOICES MAKEHUMAN MAKEHUMAN_ASSETS [OUT]
#
# VOICES: a folder with speakers.csv, or LibriSpeech; MAKEHUMAN, MAKEHUMAN_ASSETS: checkouts of makehumancommunity's
# repositories makehuman and makehuman-assets; OUT: where data and runs go (runs/starter).
set -euo pipefail
cd "$(dirname "$0")/.."
voices=$1 makehuman=$2 assets=$3 out=${4:-runs/starter}

s2f simulate "$out/data" --voices "$voices" --makehuman "$makehuman" --makehuman_assets "$assets" \
  --identities 1500 --views 4 --seed 0

train() { # stage, exported folder, further flags
  local stage=$1 exported=$2
  shift 2
  [ -d "$out/$stage/$exported" ] && return
  local resume=()
  compgen -G "$out/$stage/checkpoint-*/step.json" > /dev/null && resume=(--resume_from_checkpoint latest)
  accelerate launch --num_processes 1 --num_cpu_threads_per_process "$(nproc)" --num_machines 1 --mixed_precision no --dynamo_backend no \
    "train_$stage.py" --config "s2f/recipes/starter_$stage.yaml" \
    --data "$out/data" --output_dir "$out/$stage" "${resume[@]}" "$@"
}
train face face_encoder
train decoder decoder --face_encoder "$out/face/face_encoder"
train s2f pipeline --face_encoder "$out/face/face_encoder" --decoder "$out/decoder/decoder"

s2f-eval demographics "$out/s2f/pipeline" "$out/data" --faces --pictures "$out/pictures" --json > "$out/evaluation.json"
rm -rf checkpoints/starter.partial
cp -r "$out/s2f/pipeline" checkpoints/starter.partial
python -m s2f.model_card "$out" checkpoints/starter.partial
rm -rf checkpoints/starter
mv checkpoints/starter.partial checkpoints/starter
python docs/starter_voices.py "$out/data" "$out/pictures" docs/pictures/starter_voices.png
