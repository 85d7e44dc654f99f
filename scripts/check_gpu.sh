#!/usr/bin/env bash
# Checks equipot on a machine with a GPU and no network, in steps of at most ten minutes each.
#
#   scripts/check_gpu.sh OUT              all steps that are not done yet
#   scripts/check_gpu.sh OUT next         the first of them only, where a call may not last longer
#   scripts/check_gpu.sh OUT STEP …       these, done before or not
#   scripts/check_gpu.sh OUT report       all that was found, as OUT/report.json
#
# OUT/STEP.log is what a step printed, OUT/STEP.json what it found and how it ended. Environment:
#   WHEELS   a folder of wheels, all of which are installed into OUT/site, nothing else is; jax may
#            be there already. None: the packages of PYTHON.
#   PYTHON   the interpreter, python3 by default
#   SMALL=1  everything tiny, for a machine without a GPU
set -uo pipefail

if (( $# < 1 )) || [[ $1 == -* ]]; then
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
  exit 2
fi
ROOT=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1" || exit 2
OUT=$(cd "$1" && pwd)
shift
PYTHON=$(command -v "${PYTHON:-python3}") || { echo "no interpreter ${PYTHON:-python3}"; exit 2; }
[[ $PYTHON == /* ]] || PYTHON=$PWD/$PYTHON
SMALL=${SMALL:-}
LIMIT=570  # seconds of a step
LIMITED=(timeout --kill-after=10 $LIMIT)
export PYTHONPATH="$ROOT:$OUT/site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
export XLA_PYTHON_CLIENT_PREALLOCATE=false WANDB_MODE=offline MPLBACKEND=Agg
export JAX_COMPILATION_CACHE_DIR="$OUT/programs"
TRAINING=300  # seconds of steps
MODELS=(nequip mace allegro)
SIZES=(192 1536 12288)
BENCH=(--preset peers)
if [[ $SMALL ]]; then
  TRAINING=5
  SIZES=(24 81)
  BENCH=(--repeats 2 --set num_layers=1 num_channels=2 lmax=1)
fi

steps() {
  echo install
  echo tests
  for atoms in "${SIZES[@]}"; do
    for model in "${MODELS[@]}"; do echo "$model-$atoms"; done
  done
  echo train-one
  echo train-all
}

install() {
  if [[ ${WHEELS:-} ]]; then
    "$PYTHON" -m pip install --quiet --no-index --no-deps --upgrade --target "$OUT/site" \
      "$WHEELS"/*.whl || return 1
  fi
  "$PYTHON" - "$OUT/found.json" "${SMALL:-0}" <<'PYTHON'
import json, subprocess, sys
import jax
from equipot.training import folder
if jax.default_backend() != "gpu" and sys.argv[2] == "0":
    sys.exit(f"jax sees no GPU, only {jax.devices()}; SMALL=1 tries everything without")
query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
try:
    cards = subprocess.run(query, capture_output=True, text=True).stdout.splitlines()
except FileNotFoundError:
    cards = []
found = {"versions": folder.versions(), "devices": [d.device_kind for d in jax.devices()]}
found |= {"python": sys.version.split()[0], "cards": cards}
print(json.dumps(found, indent=1))
open(sys.argv[1], "w").write(json.dumps(found))
PYTHON
}

tests() {
  local workers=()
  "$PYTHON" -c 'import xdist' 2>/dev/null && workers=(-n 6)
  local chosen=(-m gpu tests/gpu)
  [[ $SMALL ]] && { chosen=(tests/gpu -m gpu -k 'gpu_gives_the_numbers and nequip'); workers=(); }
  "${LIMITED[@]}" "$PYTHON" -m pytest -q -p no:cacheprovider -rA "${workers[@]}" "${chosen[@]}"
}

benchmark() {  # MODEL-ATOMS
  "${LIMITED[@]}" "$PYTHON" -m scripts.benchmark models "${BENCH[@]}" \
    --model "${1%-*}" --atoms "${1#*-}" --json "$OUT/found.json"
}

# Trains for some minutes from the first step on, or goes on with that; the last argument is a word
# for trainer.num_devices, null for all.
train() {  # STEP DEVICES
  local run="$OUT/$1.run" words=(+experiment=water "name=$1" "run_dir=$OUT/$1.run")
  words+=("trainer.num_devices=$2" trainer.log_every=10 trainer.valid_every=200)
  [[ $SMALL ]] && words+=(model.num_channels=2 model.num_layers=1 'model.radial_widths=[4]' model.lmax=0)
  "$PYTHON" -P -c 'from equipot.cli.train import main; main()' "${words[@]}" &
  local training=$! waited=0 lines
  lines=$(wc -l 2>/dev/null < "$run/metrics.jsonl" || echo 0)
  while kill -0 $training 2>/dev/null && (( waited < LIMIT - TRAINING - 20 )); do
    (( $(wc -l 2>/dev/null < "$run/metrics.jsonl" || echo 0) > lines )) && break
    sleep 1
    waited=$((waited + 1))
  done
  for ((i = 0; i < TRAINING; i++)); do
    kill -0 $training 2>/dev/null || break
    sleep 1
  done
  kill -TERM $training 2>/dev/null
  wait $training
  "$PYTHON" - "$run" "$OUT/found.json" "$waited" <<'PYTHON'
import json, pathlib, sys
run, found, waited = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
speeds = sorted(line["structures_per_second"] for line in lines)
valid = [line for line in lines if "valid_loss" in line]
result = {"steps": lines[-1]["step"], "seconds_to_the_first_line": waited}
result |= {"structures_per_second": speeds[len(speeds) // 2]}
result |= {"last_validation": valid[-1] if valid else None}
result |= {"devices": json.loads((run / "dataset.json").read_text())["num_devices"]}
print(json.dumps(result, indent=1))
open(found, "w").write(json.dumps(result))
PYTHON
}

run_step() {  # STEP
  local step=$1 began=$SECONDS status
  echo "== $step"
  rm -f "$OUT/found.json"
  ( cd "$ROOT" && perform "$step" ) > "$OUT/$step.log" 2>&1
  status=$?
  tail -n 12 "$OUT/$step.log"
  "$PYTHON" - "$OUT" "$step" "$status" "$((SECONDS - began))" <<'PYTHON'
import json, pathlib, sys
out, step, status, seconds = pathlib.Path(sys.argv[1]), *sys.argv[2:]
file = out / "found.json"
found = json.loads(file.read_text()) if file.exists() else None
result = {"step": step, "status": int(status), "seconds": int(seconds), "found": found}
(out / f"{step}.json").write_text(json.dumps(result, indent=1))
PYTHON
  echo "== $step: status $status after $((SECONDS - began)) s"
  return $status
}

perform() {  # STEP
  case $1 in
    install) install ;;
    train-one) train "$1" 1 ;;
    train-all)
      [[ $SMALL ]] && export JAX_NUM_CPU_DEVICES=2
      train "$1" null
      ;;
    tests) tests ;;
    *-*) benchmark "$1" ;;
    *) echo "no step '$1'; there are: $(steps | tr '\n' ' ')"; return 2 ;;
  esac
}

report() {
  "$PYTHON" - "$OUT" <<'PYTHON'
import json, pathlib, sys
out = pathlib.Path(sys.argv[1])
files = sorted(out.glob("*.json"))
steps = [json.loads(file.read_text()) for file in files if file.stem not in ("report", "found")]
(out / "report.json").write_text(json.dumps(steps, indent=1))
for step in steps:
    print(f"{step['step']:16} status {step['status']:3} {step['seconds']:5} s")
sys.exit(any(step["status"] for step in steps))
PYTHON
}

waiting() {
  local step
  for step in $(steps); do [[ -e $OUT/$step.json ]] || echo "$step"; done
}

case ${1:-} in
  report) report; exit ;;
  next) chosen=$(waiting | head -n 1) ;;
  '') chosen=$(waiting) ;;
  *) chosen="$*" ;;
esac
failed=0
for step in $chosen; do run_step "$step" || failed=1; done
[[ $(waiting) ]] || report
exit $failed
