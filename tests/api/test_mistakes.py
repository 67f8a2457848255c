"""What a caller of the Python API does wrong is one sentence, whatever its type.

The calls are made in a process of their own, where no test checks the types of arguments.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.run_stores.finished_runs import Finished

CALLS = {
    "evaluate(olivine.recipe('demo').pretrained)": "experiment takes a recipe's name or an "
    "EvaluateConfig; it was given a value of type PretrainConfig. A pretraining alone is a part of "
    "it: give the whole experiment.",
    "evaluate(5)": "experiment takes a recipe's name or an EvaluateConfig; it was given 5.",
    "pretrain(None)": "experiment takes a recipe's name or an EvaluateConfig; it was given None.",
    "pretrain('demo', runtime={'out': 'x'})": "runtime takes an olivine.Runtime(...); it was given "
    "a value of type dict.",
    "label('demo', selection=5)": "selection takes a Selection of olivine.labels.config; it was "
    "given 5.",
    "recipe(None)": "recipe takes a recipe's name; it was given None.",
    "recipe('demo', 5)": 'settings takes a list of texts such as "pretrained.seed=1", or dotted '
    "names with values in a dict; it was given 5.",
    "recipe('demo', [5])": 'settings takes a list of texts such as "pretrained.seed=1", or dotted '
    "names with values in a dict; one of it is 5.",
    "recipe('demo', {5: 1})": 'settings takes a list of texts such as "pretrained.seed=1", or '
    "dotted names with values in a dict; one of it is 5.",
    "run_sweep(None)": "sweep takes a sweep's name, the path of its file, or a Sweep; it was given "
    "None.",
    "run_sweep('components', seeds=5)": "seeds takes a list of whole numbers, such as [0, 1, 2]; "
    "it was given 5.",
    "run_sweep('components', seeds=['a'])": "seeds takes a list of whole numbers, such as [0, 1, "
    "2]; one of it is 'a'.",
    "run_sweep('components', rows=5)": "rows takes a list of names of rows; it was given 5.",
    "run_sweep('components', limits=5)": "limits takes an olivine.Limits(...); it was given 5.",
    "run_sweep('components', log=None)": "log takes a function of one text, such as print; it was "
    "given None.",
    "run_sweep('components', experiment=5)": "experiment takes a recipe's name or an "
    "EvaluateConfig; it was given 5.",
    "table(columns=5)": "columns takes a list of names; it was given 5.",
    "table(metrics=[5])": "metrics takes a list of names; one of it is 5.",
    "table(5)": "sweep takes a text; it was given 5.",
    "table(out=None)": "out takes a folder or the URI of a bucket; it was given None.",
    "Runtime(num_workers=0)": "Setting 'num_workers': Input should be greater than or equal to 1; "
    "it was given 0.",
    "Limits(max_hours=-1)": "Setting 'max_hours': Input should be greater than or equal to 0; it "
    "was given -1.",
    "load_backbone(5)": "A network is named by the path of its file or folder, a run's id, a "
    "fingerprint, or the beginning of one; it was given 5.",
    "load_segmenter(backbone)": "A network is named by the path of its file or folder, a run's id, "
    "a fingerprint, or the beginning of one; it was given a value of type PretrainedBackbone.",
    "load_backbone('0123', out=5)": "out takes a folder or the URI of a bucket; it was given 5.",
    "PointClassifier(backbone)": "The network of predictions takes what "
    "olivine.load_segmenter(...) returns; it was given a value of type PretrainedBackbone. A "
    "backbone alone has no head that predicts classes: evaluate it.",
    "PointEncoder(evaluated)": "The network of features takes what olivine.load_backbone(...) "
    "returns; it was given a value of type EvaluatedNetwork. Of an evaluated network, give its "
    ".backbone.",
    "PointEncoder(5)": "The network of features takes what olivine.load_backbone(...) returns; it "
    "was given 5.",
    "PointEncoder(backbone, None)": "A device is auto, cpu, cuda or cuda:NUMBER; it was given "
    "None.",
    "PointEncoder(backbone).encode(5)": "Give a list of arrays of scans; it was 5.",
    "embed(5, 'x', files=['a.bin'])": "The network of features takes what "
    "olivine.load_backbone(...) returns; it was given 5.",
    "embed(backbone, 'x', files=5)": "files takes a list of paths; it was given 5.",
    "embed(backbone, None, split='val')": "folder takes a path or the URI of a bucket; it was "
    "given None.",
    "predict(backbone, 'x', split='val')": "The network of predictions takes what "
    "olivine.load_segmenter(...) returns; it was given a value of type PretrainedBackbone. A "
    "backbone alone has no head that predicts classes: evaluate it.",
    "predict(evaluated, 'x', data=5)": "data takes a data set, or settings that change the "
    "network's own, such as {'split': 'test'}; it was given 5.",
}
PROGRAM = """
import json, sys
import numpy as np
import olivine
out, pretrained, evaluated, calls = json.loads(sys.argv[1])
backbone = olivine.load_backbone(pretrained, out=out)
evaluated = olivine.load_segmenter(evaluated, out=out)
told = {}
for call in calls:
    try:
        eval("olivine." + call)
        told[call] = "no error"
    except olivine.UserError as error:
        told[call] = str(error)
    except Exception as error:
        told[call] = repr(error)
scan = np.random.default_rng(0).uniform(-5, 5, (50, 4))
encoder = olivine.PointEncoder(backbone, "cpu")
(ours,), (theirs,) = encoder.encode(one for one in [scan]), encoder.encode([scan])
assert np.array_equal(ours, theirs)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    given = [
        str(finished.out), finished.pretrained(), finished.probe.key.fingerprint, list(CALLS),
    ]  # fmt: skip
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(given)],
        capture_output=True, text=True, check=False, cwd=tmp_path_factory.mktemp("empty"),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout.splitlines()[-1])


@pytest.mark.parametrize("call", CALLS)
def test_a_callers_mistake_is_one_sentence(told, call):
    assert told[call] == CALLS[call]
