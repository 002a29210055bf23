#!/usr/bin/env bash
# Build the source archive and from it the wheel, and try the wheel where the checkout cannot be seen.
#
#   scripts/wheel_smoke.sh PYTHON     PYTHON: of an environment with attendc's dependencies and `build`
#
# The wheel goes alone into a new environment; its dependencies are those of PYTHON's.
set -euo pipefail
unset PYTHONPATH

root=$(cd "$(dirname "$0")/.." && pwd)
python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m build --no-isolation --outdir "$work/dist" "$root" >"$work/build.log" 2>&1 \
  || { cat "$work/build.log"; exit 1; }

"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "$work"/dist/*.whl
# A folder named in a .pth is searched for packages but not for .pth files, so the editable attendc there stays unseen.
site='import sysconfig; print(sysconfig.get_path("purelib"))'
"$python" -c "$site" >"$("$work/venv/bin/python" -c "$site")/dependencies.pth"

mkdir "$work/empty"
cd "$work/empty"
export PATH="$work/venv/bin:$PATH"

python - "$work" <<'END'
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import attendc
from attendc.data.sources import load_dataset

work = Path(sys.argv[1]).resolve()
assert work in Path(attendc.__file__).resolve().parents, f"imported {attendc.__file__}, not the wheel's"
assert version("attendc") == attendc.__version__

(wheel,) = (work / "dist").glob("*.whl")
names = zipfile.ZipFile(wheel).namelist()
folders = {name.split("/")[0] for name in names}
assert folders == {"attendc", f"attendc-{attendc.__version__}.dist-info"}, f"the wheel holds {folders}"
for name in ("machine/lock.json", "cost/table.json", "guest/count.c", "guest/work.py"):
    assert f"attendc/arm/{name}" in names, f"the wheel lacks attendc/arm/{name}"

data = load_dataset("fashion-mnist-mini")
assert (len(data.train), len(data.test)) == (10_000, 2_000), (len(data.train), len(data.test))
print(f"{wheel.name}: {len(names)} files, {wheel.stat().st_size:,} bytes; the built-in data set loads")
END

attendc --version
attendc --help >help.txt
grep -q "^Usage: attendc" help.txt || { cat help.txt; exit 1; }

attendc recipe validate int8-ptq int8-qat float-all-targets prune-qat-arm compare-ptq-qat smoke
attendc run smoke --set "model.checkpoint=$root/examples/attendnext_nano.safetensors" -o out --no-cache
for file in model.int8.tflite report.html MODEL_CARD.md; do
  test -s "out/$file" || { echo "out/$file is missing or empty"; exit 1; }
done
ls -l out
echo "wheel smoke: ok"
