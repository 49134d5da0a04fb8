"""The job arrays of configs/, run by a stand-in for `sbatch` that keeps its promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving.cohort.conftest import Finished, contents, lines_of
from tests.serving.cohort.study import Study

CONFIGS = Path(__file__).parents[3] / "configs"
TASKS = 3


def sbatch(script: Path, *arguments: str, tasks: int, folder: Path) -> list[int]:
    """Run a script as `sbatch --array=1-TASKS` would: all tasks at once, with SLURM's variables.

    `exec` in the script makes its process fibromorph's, as the signal of a time limit needs.
    """
    fibromorph = folder / "fibromorph"
    fibromorph.write_text(f'#!/bin/sh\nexec {sys.executable} -m fibromorph.cli "$@"\n')
    fibromorph.chmod(0o755)
    running = []
    for index in range(1, tasks + 1):
        variables = {
            "FIBROMORPH": str(fibromorph),
            "SLURM_ARRAY_TASK_ID": str(index),
            "SLURM_ARRAY_TASK_COUNT": str(tasks),
            "SLURM_CPUS_PER_TASK": "1",
        }
        running.append(
            subprocess.Popen(
                ["bash", str(script), *arguments],
                env={**os.environ, **variables},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
    return [process.wait(120) for process in running]


def test_an_array_does_the_whole_study_once(
    finished: Finished, study: Study, bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ("--model", str(bundle), "--device", "cpu")
    script = CONFIGS / "slurm-bids.sh"
    statuses = sbatch(script, str(study.root), str(out), *options, tasks=TASKS, folder=tmp_path)
    # The two scans that fail lie in two of the shards.
    assert sorted(statuses) == [0, 1, 1]
    # The last to end has listed the failures of all.
    assert contents(out) == contents(finished.out)
    assert set(lines_of(out, "finished").values()) == {0, 1}
    group = CONFIGS / "slurm-bids-group.sh"
    assert sbatch(group, str(study.root), str(out), tasks=1, folder=tmp_path) == [1]
    assert (out / "volumes.tsv").is_file()


@pytest.mark.parametrize("script", ["slurm-bids.sh", "slurm-bids-group.sh"])
def test_scripts_are_batch_scripts(script: str) -> None:
    text = (CONFIGS / script).read_text()
    assert text.startswith("#!/bin/bash\n")
    options = re.findall(r"^#SBATCH (--\S+)$", text, re.MULTILINE)
    assert {option.split("=")[0] for option in options} >= {"--job-name", "--mem", "--time"}
