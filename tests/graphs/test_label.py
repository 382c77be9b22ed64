"""Labels as people hold them, judged alike in eager and in compiled code."""

import numpy as np
import pytest
import tensorflow as tf

from xsample_tf import graphs
from xsample_tf.errors import InputError
from xsample_tf.losses import XSampleContrastiveLoss

NUMBERS = ("uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16")


@pytest.mark.parametrize("dtype", [*NUMBERS, "bfloat16", "float64"])
@pytest.mark.parametrize("compiled", [False, True])
def test_every_dtype_is_judged_by_its_number(dtype, compiled):
    labels = tf.cast([[0], [1], [3], [100]], dtype)
    for graph, valid in (
        (graphs.LabelGraph(), [True] * 4),
        (graphs.ClassGraph(np.eye(3)), [True, True, False, False]),
        (graphs.ClassGraph(np.eye(300)), [True] * 4),
    ):
        judge = tf.function(lambda x, graph=graph: graph.valid(graph.prepare(x)))
        judge = judge if compiled else judge.python_function
        assert judge(labels).numpy().tolist() == valid
        if all(valid):
            graph.check(labels)
        else:
            with pytest.raises(InputError, match="whole numbers from 0 to 2, received .*in row 2"):
                graph.check(labels)


def test_what_is_no_label_is_not_valid():
    graph = graphs.LabelGraph()
    labels = np.array([0, -1, 0.5, np.nan, np.inf, 2.0**24, 2.0**24 - 1], np.float64)
    expected = [True, False, False, False, False, False, True]
    assert graph.valid(graph.prepare(labels)).numpy().tolist() == expected
    wide = tf.constant([0, -1, 2**40, -(2**40)], tf.int64)
    assert graph.prepare(wide).numpy().tolist() == [0, -1, -1, -1]
    assert graph.prepare(tf.constant([True, False])).numpy().tolist() == [1, 0]
    with pytest.raises(InputError, match="received strings; number the classes"):
        graph.prepare(tf.constant(["cat"]))
    with pytest.raises(InputError, match=r"\(2, 3\); for rows \[B, C\] say one_hot=True"):
        graph.prepare(tf.eye(3)[:2])


@pytest.mark.parametrize("dtype", ["float32", "uint8", "bool"])
def test_one_hot_rows_are_their_numbers(dtype):
    graph = graphs.LabelGraph(one_hot=True)
    labels = np.array([2, 0, 1, 2])
    rows = np.eye(3)[labels].astype(dtype)
    np.testing.assert_array_equal(graph.prepare(rows), labels)
    np.testing.assert_array_equal(
        graph.similarity(rows, rows), graphs.LabelGraph().similarity(labels, labels)
    )
    table = np.array([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(
        graphs.ClassGraph(table, one_hot=True).similarity(rows, rows), table[labels][:, labels]
    )


def test_rows_that_are_not_one_hot_are_named():
    graph = graphs.LabelGraph(one_hot=True)
    rows = np.array([[0, 1], [0, 0], [1, 1], [0.5, 0.5], [np.nan, 1]])
    assert graph.prepare(rows).numpy().tolist() == [1, -1, -1, -1, -1]
    with pytest.raises(InputError, match=r"one 1 and else 0 .*received \[0.0, 0.0\] in row 1"):
        graph.check(rows)
    with pytest.raises(InputError, match=r"one-hot labels \[B, C\], received \(2,\)"):
        graph.prepare(tf.constant([0, 1]))


def test_keras_losses_take_rows_and_refuse_strings_by_name():
    z = tf.random.stateless_normal([4, 2, 3], [0, 1])
    labels = np.array([0, 1, 0, 2])
    expected = XSampleContrastiveLoss(graphs.LabelGraph())(labels, z)
    hot = XSampleContrastiveLoss(graphs.LabelGraph(one_hot=True))(np.eye(3)[labels], z)
    assert float(hot) == float(expected)
    for words in (["cat"] * 4, np.array(["cat"] * 4), tf.constant(["cat"] * 4)):
        with pytest.raises(InputError, match="expected 'label' as numbers, received strings"):
            XSampleContrastiveLoss(graphs.LabelGraph())(words, z)
