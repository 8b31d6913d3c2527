"""What do designs of the front reach on images that neither training nor search has used?"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from archbench.errors import ArchbenchError, MissingError, StorageError
from archbench.search.context import StudyContext
from archbench.search.jobs import held_out_accuracy, train_again, weights_path
from archbench.search.kept_weights import earlier_folders, earlier_weights, kept_weights
from archbench.study.trial import TrialRecord, final_accuracies


def take_test(context: StudyContext, record: TrialRecord) -> None:
    """Takes the accuracy of a trial on the held-out test split.

    Where its weights were not kept it is trained again, unless it is from another study.
    """
    header, num_seeds = context.study.header(), context.proxy.num_seeds
    files = kept_weights(context.settings.path, record, num_seeds=num_seeds)
    files = files or earlier_weights(record, header=header, num_seeds=num_seeds)
    if not files and not record.origin:
        own = [seed for seed in sorted(final_accuracies(record)) if seed < num_seeds]
        files = {s: weights_path(context.checkpoints, record.number, seed=s) for s in own}
    if not files:
        where = [str(folder) for folder in earlier_folders(record, header=header)]
        too = f", and not in {' or '.join(where)}, either" if where else ""
        context.warn(f"trial {record.number} was not tested: its weights are not here{too}")
        return
    try:
        accuracy = _tested(context, record, files=files)
    except ArchbenchError as error:
        context.warn(f"trial {record.number} was not tested: {error}")
        return
    context.study.update(record.number, test_accuracy=accuracy)


def _tested(context: StudyContext, record: TrialRecord, *, files: Mapping[int, Path]) -> float:
    """The test accuracy of weights; lost or damaged ones of the study itself are trained again.

    Raises:
        ArchbenchError: They cannot be tested.
    """
    timeout_s, weights = context.settings.search.timeout_s, list(files.values())
    test = partial(
        held_out_accuracy,
        spec=record.spec,
        proxy=context.proxy,
        weights=weights,
        int8=context.int8 if record.is_int8 else None,
    )
    own = {str(file): seed for seed, file in files.items() if file.parent == context.checkpoints}
    while True:
        try:
            return float(context.call(test, timeout_s=timeout_s))
        except (MissingError, StorageError) as error:
            seed = own.pop(error.place or "", None)
            if seed is None:
                raise
            told = f"trial {record.number}: {error.place}: {error.message}"
            context.warn(f"{told}; the trial is trained again with seed {seed}")
        job = context.training(record.number, seed=seed)
        job = replace(job, sha256=None, int8=job.int8 if record.is_int8 else None)
        reached = context.call(partial(train_again, job=job), timeout_s=timeout_s)
        before = final_accuracies(record)[seed]
        if reached != before:
            told = f"reached {100 * reached:.1f} % and not {100 * before:.1f} %"
            context.warn(f"trial {record.number}: trained again with seed {seed} it {told}")
