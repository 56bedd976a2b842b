"""Tasks of a study: its own data, labels redrawn for each network, or the user's function."""

import numpy as np
import pytest

import jumpretrain as jr
from jumpretrain.studies.builders import check_task, task_builder

SMALL = jr.Study(train_size=200, test_size=100, noise=(0.0, 1.0))


def test_groups_share_images_and_each_network_redraws_its_labels():
    build = task_builder(SMALL)
    true, first, second = build(0, "generalise"), build(0, "memorise"), build(1, "memorise")
    for task in (first, second):
        np.testing.assert_array_equal(task.data.train_x, true.data.train_x)
        np.testing.assert_array_equal(task.data.test_y, true.data.test_y)
    drawn = [task.data.train_y for task in (true, first, second)]
    assert np.mean(drawn[0] != drawn[1]) > 0.8 and np.mean(drawn[1] != drawn[2]) > 0.8
    assert len(true.data.train_x) == 200 and len(true.data.test_x) == 100


def test_a_task_of_the_users_own_is_called_with_seed_and_group():
    study = jr.Study(task="tests.studies.test_builders:my_task")
    assert task_builder(study)(3, "memorise") == ("mine", 3, "memorise")


def my_task(seed, group):
    return "mine", seed, group


def test_what_is_no_task_or_lacks_the_metric_is_refused():
    task = task_builder(SMALL)(0, "generalise")
    check_task(task, "test_accuracy")
    with pytest.raises(ValueError, match="no metric 'f1'; measured: train_loss"):
        check_task(task, "f1")
    with pytest.raises(ValueError, match="must return a Task, not int"):
        check_task(3, "test_loss")


def test_data_of_one_class_are_refused(tmp_path):
    images, labels = np.full((40, 8, 8), 200, np.uint8), np.zeros(40, int)
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    np.savez(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(ValueError, match="two classes or more apart, but all labels are 0"):
        task_builder(jr.Study(data="mnist", data_root=str(tmp_path)))
